package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

const (
	createTime  = 20 * time.Second // for the gateway to take note of a sandbox
	discardTime = 30 * time.Second // for it to be gone again
)

// creation is a sandbox that is being made.
type creation struct {
	*createOptions
	progress *steps
	client   *gatewayclient.Client
	sandbox  *datamodelv1.Sandbox
	shown    bool // its command was started, or its shell: it is the user's now
}

func runCreate(ctx context.Context, o *createOptions) (err error) {
	c := &creation{createOptions: o, progress: o.deps.steps(o.output)}
	defer c.progress.Close()
	defer func() {
		if c.client != nil {
			c.client.Close()
		}
	}()
	if c.noBootstrap { // which may refuse: before an image is built for nothing
		if err := c.reach(ctx); err != nil {
			return err
		}
	}
	image, err := c.hostImage(ctx)
	if err != nil {
		return err
	}
	defer image.close()
	if c.client == nil {
		if err := c.reach(ctx); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil && c.sandbox != nil && !c.shown {
			c.discard(ctx)
		}
	}()
	if err := c.create(ctx, image); err != nil {
		return err
	}
	ssh, err := c.connect(ctx)
	if err != nil {
		return err
	}
	if ssh != nil {
		defer ssh.Close()
	}
	if err := c.fill(ctx, ssh); err != nil {
		return err
	}
	if err := c.forward(ctx); err != nil {
		return err
	}
	return c.show(ctx, ssh)
}

// reach connects to the gateway, which is brought up if it does not answer.
// While it runs this asks no Docker.
func (c *creation) reach(ctx context.Context) (err error) {
	c.client, err = c.deps.dial(ctx, c.on)
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, gatewayclient.ErrUnreachable) {
		return err
	}
	if c.noBootstrap {
		refusal := fault.New(fault.NotRunning, fault.ExitNotRunning, "gateway %s is not running, and --no-bootstrap leaves it so", c.on).
			Hint("`openshell gateway start %s` starts it", c.on)
		if !errors.Is(err, fs.ErrNotExist) {
			refusal.Because(errors.Unwrap(err))
		}
		return refusal
	}
	err = c.deps.withEngine(ctx, func(engine Engine) error {
		_, err := engine.Ensure(ctx, bootstrap.EnsureOptions{Name: c.on}, c.progress) // it says what it does
		return err
	})
	if err != nil {
		return err
	}
	c.client, err = c.deps.dial(ctx, c.on)
	return noFiles(c.on, err)
}

// create asks for the sandbox and waits until it is ready.
func (c *creation) create(ctx context.Context, image *hostImage) error {
	ref, unlock, err := image.provide(ctx, c)
	if err != nil {
		return err
	}
	defer unlock()
	request, err := c.request(ref)
	if err != nil {
		return err
	}
	// Not cut off by Ctrl-C: what was made without anyone hearing its name
	// could not be deleted.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	answer, err := c.client.CreateSandbox(asking, request)
	if err != nil {
		return c.refined(err)
	}
	unlock()
	c.sandbox = answer.GetSandbox()
	step := "create sandbox " + c.sandbox.GetName()
	end := c.progress.begin(step, "")
	ready, err := awaitReady(ctx, c.client, c.sandbox, c.deps.quietly(c.progress, c.output, step))
	end(err == nil)
	if err != nil {
		return err
	}
	c.sandbox = ready
	return nil
}

// refined puts a refusal into terms of this command.
func (c *creation) refined(err error) error {
	var known *fault.Error
	if !errors.As(err, &known) {
		return err
	}
	switch known.ID {
	case fault.SandboxExists:
		known.Hint("`openshell sandbox connect %s` goes into it", c.name).Hint("choose another with --name, or none")
	case fault.BadValue:
		// The field is followed by the resource, which is called as its flag.
		known.Message = strings.Replace(known.Message, "spec.template.resources: ", "--", 1)
	}
	return err
}

// detailAfter is when a wait without a terminal begins to say what it waits for.
const detailAfter = 5 * time.Second

// quietly shows details of a step where they can be drawn over, and elsewhere
// only if it takes long.
func (d *Deps) quietly(progress *steps, o output, step string) func(string) {
	began, last := d.Now(), ""
	return func(message string) {
		shows := d.Live || o.json() || d.Now().Sub(began) > detailAfter
		if shows && message != "" && message != last {
			last = message
			progress.detail(step, message)
		}
	}
}

func (c *creation) request(image string) (*openshellv1.CreateSandboxRequest, error) {
	spec := &datamodelv1.SandboxSpec{
		Environment: c.env,
		Template:    &datamodelv1.SandboxTemplate{Image: image},
		Command:     c.argv,
		Ephemeral:   c.noKeep && len(c.argv) > 0,
	}
	if c.source != nil {
		spec.Template.Annotations = map[string]string{sandboxapi.AnnotationImage: c.source.Label()}
	}
	if len(c.argv) > 0 {
		spec.Tty, spec.Stdin, spec.Hold = c.terminal(), c.reads(), c.holds()
		if c.restart == restartNo {
			spec.CommandRestart = datamodelv1.CommandRestart_COMMAND_RESTART_NO
		}
	}
	limits := map[string]any{}
	for name, amount := range map[string]string{"cpu": c.cpu, "memory": c.memory} {
		if amount != "" {
			limits[name] = amount
		}
	}
	if len(limits) > 0 {
		resources, err := structpb.NewStruct(map[string]any{"limits": limits})
		if err != nil {
			return nil, err
		}
		spec.Template.Resources = resources
	}
	return &openshellv1.CreateSandboxRequest{Name: c.name, Spec: spec}, nil
}

// holds reports whether the command waits for this process to start it: so
// nothing of its output is missed, and its files are there.
func (c *creation) holds() bool { return len(c.argv) > 0 && (c.attaches() || len(c.uploads) > 0) }

// connect speaks SSH to the sandbox if there is something to say.
func (c *creation) connect(ctx context.Context) (*sandboxssh.Client, error) {
	if !c.attaches() && len(c.uploads) == 0 {
		return nil, nil
	}
	return c.client.Connect(ctx, c.sandbox)
}

// fill uploads what the sandbox is to begin with.
func (c *creation) fill(ctx context.Context, ssh *sandboxssh.Client) error {
	for _, upload := range c.uploads {
		t := transferring{deps: c.deps, output: c.output, progress: c.progress, ssh: ssh, sandbox: c.sandbox.GetName()}
		if _, err := t.upload(ctx, upload.local, upload.remote); err != nil {
			return err
		}
	}
	return nil
}

func (c *creation) forward(ctx context.Context) error {
	for _, spec := range c.forwards {
		report, err := c.deps.startForward(ctx, c.on, c.sandbox, spec)
		if err != nil {
			return err
		}
		c.progress.note(forwardSentence(report.Spec))
	}
	return nil
}

// show runs the command or the shell here, or says what was made.
func (c *creation) show(ctx context.Context, ssh *sandboxssh.Client) error {
	name := c.sandbox.GetName()
	if !c.attaches() {
		if c.holds() {
			if err := startHeld(ctx, name, ssh); err != nil {
				return err
			}
		}
		c.progress.Close()
		if c.output.json() {
			return render.JSON(c.deps.Out, c.document(c.sandbox))
		}
		_, err := fmt.Fprintln(c.deps.Out, name)
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.progress.Close()
	c.shown = true
	if len(c.argv) == 0 {
		return c.shell(ctx, ssh)
	}
	shown := session{deps: c.deps, tty: c.terminal(), stdin: c.reads(), leave: true}
	code, left, err := shown.run(ctx, func(ctx context.Context, tty *sandboxapi.TTY, streams sandboxssh.Streams) (int, error) {
		return ssh.Attach(ctx, sandboxapi.Attach{Start: true, TTY: tty}, streams)
	})
	if err != nil {
		return lost(name, err)
	}
	if left {
		c.deps.sayLeft(name)
	} else if c.noKeep {
		c.discard(ctx)
	}
	return codeError(code)
}

func (c *creation) shell(ctx context.Context, ssh *sandboxssh.Client) error {
	name := c.sandbox.GetName()
	code, _, err := shellSession(ctx, c.deps, ssh)
	if err == nil && c.noKeep {
		c.discard(ctx)
	} else { // what a connection that was lost leaves behind may be hours of work
		fmt.Fprintf(c.deps.Err, "sandbox %s is kept; `openshell sandbox connect %s` goes back into it\n", name, name)
	}
	if err != nil {
		return lost(name, err)
	}
	return codeError(code)
}

// codeError passes an exit code on.
func codeError(code int) error {
	if code == 0 {
		return nil
	}
	return exitCode(code)
}

// discard deletes the sandbox again, also when ctx has ended, and says when
// that does not succeed: it is not why the command failed.
func (c *creation) discard(ctx context.Context) {
	c.progress.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	progress := c.deps.steps(c.output)
	end := progress.begin("delete sandbox "+c.sandbox.GetName(), "")
	err := c.remove(ctx, c.client, c.sandbox.GetName())
	end(false)
	progress.Close()
	if err != nil && !fault.HasID(err, fault.SandboxAbsent) {
		fmt.Fprintf(c.deps.Err, "warning: sandbox %s could not be deleted (%s); `openshell sandbox delete %s` does\n",
			c.sandbox.GetName(), render.Printable(err.Error()), c.sandbox.GetName())
		return
	}
	if !c.shown && !c.output.json() {
		fmt.Fprintf(c.deps.Err, "sandbox %s was deleted again\n", c.sandbox.GetName())
	}
}

// startHeld starts a command that waits for it, without showing it.
func startHeld(ctx context.Context, name string, ssh *sandboxssh.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := ssh.Attach(ctx, sandboxapi.Attach{Start: true}, sandboxssh.Streams{})
		ended <- err
	}()
	watched := make(chan error, 1)
	go func() {
		watching, stop := context.WithCancel(ctx)
		defer stop()
		started := false
		err := ssh.Status(watching, func(s sandboxapi.Status) {
			if s.Command != nil && s.Command.State != sandboxapi.CommandWaiting {
				started = true
				stop()
			}
		})
		if started {
			err = nil
		}
		watched <- err
	}()
	var err error
	select {
	case err = <-ended: // it was short
	case err = <-watched:
	}
	if err != nil {
		return lost(name, err)
	}
	return nil
}
