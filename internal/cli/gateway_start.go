package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
)

type startOptions struct {
	verb
	bootstrap.StartOptions
}

func newGatewayStart(deps *Deps, run func(context.Context, *startOptions) error) *cobra.Command {
	opts := &startOptions{verb: verb{deps: deps}}
	if run == nil {
		run = runStart
	}
	cmd := opts.command(&cobra.Command{
		Use:   "start [NAME] [flags]",
		Short: "Start a gateway, or bring it back as it was",
		Long: `Start a gateway. If it exists in any form, a stopped container or only its
volume, it is brought back with the same keys, secrets and sandboxes; if it runs,
it is verified and repaired.

A setting that is not given keeps what the gateway has. A setting that differs
makes its container anew over the same volume: nothing is lost.`,
		Example: `  openshell gateway start
  openshell gateway start work --port 9000
  openshell gateway start --cpus 2 --memory 4g
  openshell gateway start --dry-run
  openshell gateway start --recreate     destroy it and start an empty one`,
	}, func(ctx context.Context) error {
		opts.Name = opts.on
		if err := opts.checkFiles(); err != nil {
			return err
		}
		return run(ctx, opts)
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&opts.Recreate, "recreate", false, "destroy the gateway with all it holds, then start an empty one")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "print what would be done and change nothing")
	portFlag(flags, &opts.Port, "port", "host port of the gateway API (default 8080)")
	addressFlag(flags, &opts.Bind, "bind", "host address to publish ports on (default 127.0.0.1)")
	hostsFlag(flags, &opts.GatewayHosts, "gateway-host", "further name or address the server certificate is valid for; may be repeated")
	openPortFlag(flags, &opts.HTTPPort, "http-port", "host port of the gateway's web server; 0 publishes none")
	switchFlag(flags, &opts.HTTPTLS, "http-tls", "serve HTTPS on the web port, with the gateway's own certificate")
	openPortFlag(flags, &opts.VPNPort, "vpn-port", "host port of the gateway's VPN (udp); 0 publishes none")
	cpusFlag(flags, &opts.CPUs, "cpus", "limit of the node in cores; 0 for none")
	memoryFlag(flags, &opts.Memory, "memory", "limit of the node's memory, such as 4g; 0 for none")
	imageFlag(flags, &opts.Image, "image", "node image of a fresh gateway")
	flags.StringVar(&opts.ImageArchive, "image-archive", "", "load the node image from this `file` made by docker save")
	durationFlag(flags, &opts.Timeout, "timeout", "give up waiting after this time, leaving everything running (default none)")
	durationFlag(flags, &opts.IdleTimeout, "idle-timeout", "give up waiting after this time without progress (default 2m)")
	flags.BoolVar(&opts.KeepOnFailure, "keep-on-failure", false, "keep what a failed start made, to look at it")
	for _, flag := range []string{"port", "bind", "gateway-host", "http-port", "vpn-port", "cpus", "memory", "image", "timeout", "idle-timeout"} {
		mustRegister(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

// checkFiles refuses an archive that cannot be read before anything is done.
func (o *startOptions) checkFiles() error {
	if o.ImageArchive == "" {
		return nil
	}
	const accepted = "a readable file made by docker save"
	file, err := os.Open(o.ImageArchive)
	if err != nil {
		return badValue("image-archive", o.ImageArchive, accepted).Because(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return badValue("image-archive", o.ImageArchive, accepted)
	}
	return nil
}

func runStart(ctx context.Context, opts *startOptions) error {
	return opts.deps.withEngine(ctx, func(engine Engine) error {
		progress := opts.deps.progress(opts.output)
		result, err := engine.Start(ctx, opts.StartOptions, progress)
		progress.Close()
		if err != nil {
			return err
		}
		if opts.output.json() {
			return render.JSON(opts.deps.Out, result)
		}
		if opts.DryRun {
			for _, warning := range result.Warnings { // nothing ran that would have said so
				fmt.Fprintln(opts.deps.Err, "warning:", warning)
			}
			for _, note := range result.Notes {
				fmt.Fprintln(opts.deps.Err, "note:", note)
			}
			return writePlan(opts.deps.Out, result)
		}
		_, err = fmt.Fprintln(opts.deps.Out, startSentence(result))
		return err
	})
}

func writePlan(w io.Writer, result bootstrap.StartResult) error {
	if len(result.Plan) == 0 {
		_, err := fmt.Fprintf(w, "gateway %s is %s: nothing to do\n", result.Name, result.Was)
		return err
	}
	fmt.Fprintf(w, "gateway %s is %s; a start would\n", result.Name, result.Was)
	rows := make([][]string, len(result.Plan))
	for i, step := range result.Plan {
		rows[i] = []string{fmt.Sprintf("%3d.", i+1), step.Step, step.Cause}
	}
	return render.Table(w, nil, rows)
}

// startSentence says in one line what a start came to.
func startSentence(r bootstrap.StartResult) string {
	elapsed := render.Seconds(time.Duration(r.ElapsedMS) * time.Millisecond)
	ran := r.Was == bootstrap.Running
	switch {
	case r.Action == "none" && ran:
		return fmt.Sprintf("gateway %s is already running at %s", r.Name, r.Endpoint)
	case r.Action == "repair" && ran:
		return fmt.Sprintf("gateway %s is already running at %s; repaired: %s", r.Name, r.Endpoint, strings.Join(r.Changed, ", "))
	case r.Action == "repair":
		return fmt.Sprintf("gateway %s is running again at %s; repaired: %s (%s)", r.Name, r.Endpoint, strings.Join(r.Changed, ", "), elapsed)
	case r.Action == "resume" && slices.Contains(r.Changed, string(bootstrap.WriteSettings)):
		return fmt.Sprintf("gateway %s is back at %s, with other settings (%s)", r.Name, r.Endpoint, elapsed)
	case r.Action == "resume" && slices.Contains(r.Changed, string(bootstrap.ReconcileSecrets)):
		return fmt.Sprintf("gateway %s is back at %s, with repaired secrets (%s)", r.Name, r.Endpoint, elapsed)
	case r.Action == "resume":
		return fmt.Sprintf("gateway %s is back at %s, as it was (%s)", r.Name, r.Endpoint, elapsed)
	case r.Action == "recreate" && r.Was != bootstrap.Absent:
		return fmt.Sprintf("gateway %s was destroyed and started empty at %s (%s)", r.Name, r.Endpoint, elapsed)
	}
	return fmt.Sprintf("gateway %s is running at %s (%s)", r.Name, r.Endpoint, elapsed)
}
