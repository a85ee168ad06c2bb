package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/portforward"
	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// spawnTime is how long a background process may take to say that it listens.
const spawnTime = 15 * time.Second

type forwardStartOptions struct {
	sandboxVerb
	foreground bool
	child      bool // tell the parent on stdout
}

func newForwardStart(deps *Deps) *cobra.Command {
	o := &forwardStartOptions{sandboxVerb: sandboxVerb{deps: deps}}
	cmd := o.command(o.reports(&cobra.Command{
		Use:   "start NAME [LOCAL:]PORT [flags]",
		Short: "Forward a port of this host to one in a sandbox",
		Long: `Forward a port of 127.0.0.1 to a port of 127.0.0.1 in a sandbox, by a process in
the background. With LOCAL the port of this host is another one.`,
		Example: `  openshell forward start box 8000
  openshell forward start box 9000:8000
  openshell forward start box 8000 --foreground`,
	}), o.run)
	cmd.Flags().BoolVar(&o.foreground, "foreground", false, "stay here until Ctrl-C")
	cmd.Flags().BoolVar(&o.child, "child", false, "tell a parent on stdout")
	if err := cmd.Flags().MarkHidden("child"); err != nil {
		panic(err) // it was defined above
	}
	return cmd
}

func (o *forwardStartOptions) run(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return o.nameNeeded(cmd)
	case len(args) != 2:
		return usageError(cmd, "`%s` takes a sandbox and a port", cmd.CommandPath())
	}
	spec, ok := parseForward(args[1])
	if !ok {
		return fault.New(fault.BadValue, fault.ExitUsage, "%q is not %s", args[1], forwardForm)
	}
	ctx := cmd.Context()
	if o.child {
		return o.beChild(ctx, args[0], spec)
	}
	return o.withSandbox(ctx, args[0], func(ctx context.Context, _ *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		if o.foreground {
			return o.stay(ctx, s, spec)
		}
		report, err := o.deps.startForward(ctx, o.on, s, spec)
		if err != nil {
			return err
		}
		if o.output.json() {
			return render.JSON(o.deps.Out, report)
		}
		_, err = fmt.Fprintln(o.deps.Out, forwardSentence(report.Spec))
		return err
	})
}

func forwardSentence(s portforward.Spec) string {
	return fmt.Sprintf("127.0.0.1:%d is forwarded to port %d of sandbox %s", s.Local, s.Port, s.Sandbox)
}

func (o *forwardStartOptions) stay(ctx context.Context, s *datamodelv1.Sandbox, spec forwardSpec) error {
	err := o.deps.serveForward(ctx, o.on, s.GetName(), s.GetId(), spec, o.deps.Err, func() {
		fmt.Fprintln(o.deps.Err, forwardSentence(forwardTo(o.on, s.GetName(), s.GetId(), spec))+"; Ctrl-C ends it")
	})
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return nil // that is how it ends
	}
	return err
}

func forwardTo(on gateway.Name, name, id string, spec forwardSpec) portforward.Spec {
	return portforward.Spec{Gateway: string(on), Sandbox: name, ID: id, Local: spec.local, Port: spec.port}
}

// word is what a background process tells its parent, once.
type word struct {
	Report *portforward.Report `json:"report,omitempty"`
	Error  *fault.Error        `json:"error,omitempty"`
}

// startForward starts a process that forwards in the background, and returns
// when it listens.
func (d *Deps) startForward(ctx context.Context, on gateway.Name, s *datamodelv1.Sandbox, spec forwardSpec) (portforward.Report, error) {
	none := portforward.Report{}
	host, err := d.Host()
	if err != nil {
		return none, err
	}
	dir, err := host.ForwardsDir(on)
	if err != nil {
		return none, err
	}
	self, err := os.Executable()
	if err != nil {
		return none, err
	}
	// The port is ours or not as soon as the process has it: until then its log
	// is another's.
	log, err := os.CreateTemp(dir, ".log-*")
	if err != nil {
		return none, err
	}
	defer log.Close()
	defer os.Remove(log.Name()) // unless it has got its name
	cmd := exec.Command(self, "forward", "start", "--child", "--gateway", string(on), s.GetName(), fmt.Sprintf("%d:%d", spec.local, spec.port))
	cmd.Dir = os.TempDir() // it keeps nobody's directory busy
	cmd.Stderr = log
	detached(cmd)
	said, err := cmd.StdoutPipe()
	if err != nil {
		return none, err
	}
	if err := cmd.Start(); err != nil {
		return none, err
	}
	answer := make(chan word, 1)
	go func() {
		var w word
		if err := json.NewDecoder(bufio.NewReader(said)).Decode(&w); err != nil {
			w.Error = fault.New(fault.Internal, fault.ExitFailure, "the process of the forward ended at once").Because(err)
		}
		answer <- w
	}()
	giveUp := func(err error) (portforward.Report, error) {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		return none, err
	}
	select {
	case w := <-answer:
		if w.Error != nil {
			return giveUp(w.Error)
		}
		if err := os.Rename(log.Name(), portforward.LogPath(dir, spec.local)); err != nil {
			return giveUp(err)
		}
		return *w.Report, cmd.Process.Release()
	case <-time.After(spawnTime):
		return giveUp(fault.New(fault.Internal, fault.ExitFailure, "the process of the forward did not begin within %s", spawnTime))
	case <-ctx.Done():
		return giveUp(context.Cause(ctx))
	}
}

// beChild is the background process: it says once on stdout how it began.
func (o *forwardStartOptions) beChild(ctx context.Context, name string, spec forwardSpec) error {
	tell := func(w word) {
		_ = json.NewEncoder(o.deps.Out).Encode(w) // the parent may have given up
		if f, ok := o.deps.Out.(*os.File); ok {
			f.Close()
		}
	}
	listens := false
	err := o.withSandbox(ctx, name, func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		client.Close() // it makes connections of its own, again and again
		return o.deps.serveForward(ctx, o.on, name, s.GetId(), spec, o.deps.Err, func() {
			listens = true
			tell(word{Report: &portforward.Report{Spec: forwardTo(o.on, name, s.GetId(), spec), StartedAt: time.Now().UTC()}})
		})
	})
	if err != nil && !listens {
		var known *fault.Error
		if errors.As(asFault(ctx, err), &known) {
			tell(word{Error: &fault.Error{ID: known.ID, Message: known.Message, Hints: known.Hints, Exit: known.Exit}})
		}
	}
	return err
}

// serveForward forwards until ctx ends or the sandbox is gone.
func (d *Deps) serveForward(ctx context.Context, on gateway.Name, name, id string, spec forwardSpec, log io.Writer, listening func()) error {
	host, err := d.Host()
	if err != nil {
		return err
	}
	dir, err := host.ForwardsDir(on)
	if err != nil {
		return err
	}
	server := portforward.Server{
		Spec: forwardTo(on, name, id, spec), Dir: dir, Log: slog.New(slog.NewTextHandler(log, nil)),
		Connect: func(ctx context.Context) (portforward.Sandbox, error) { return d.forwardConnection(ctx, on, name, id) },
	}
	return d.forwardFailed(ctx, spec.local, server.Serve(ctx, listening))
}

// forwardSandbox is a connection to a sandbox with the one to its gateway.
type forwardSandbox struct {
	*sandboxssh.Client
	gateway *gatewayclient.Client
}

func (s forwardSandbox) Close() error {
	err := s.Client.Close()
	s.gateway.Close()
	return err
}

func (d *Deps) forwardConnection(ctx context.Context, on gateway.Name, name, id string) (portforward.Sandbox, error) {
	client, err := d.dial(ctx, on)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, portforward.ErrGone // with its gateway
	}
	if err != nil {
		return nil, err
	}
	answer, err := client.GetSandbox(ctx, &openshellv1.GetSandboxRequest{Name: name})
	switch {
	case fault.HasID(err, fault.SandboxAbsent), err == nil && answer.GetSandbox().GetId() != id:
		err = portforward.ErrGone
	case err == nil:
		var ssh *sandboxssh.Client
		if ssh, err = client.Connect(ctx, answer.GetSandbox()); err == nil {
			return forwardSandbox{ssh, client}, nil
		}
	}
	client.Close()
	return nil, err
}

// isListenError reports whether a port could not be had.
func isListenError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "listen" && op.Net == "tcp"
}

// checkFree refuses a port of this host that is taken.
func (d *Deps) checkFree(port int) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return d.portInUse(port, err)
	}
	return listener.Close()
}
