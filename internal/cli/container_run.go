package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/hostimage"
	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/usercontainer"
)

// joinTime is how long a container may take to join the VPN.
const joinTime = 30 * time.Second

type containerRunOptions struct {
	containerVerb
	usercontainer.Options
	env            map[string]string
	detach, attach bool
}

func newContainerRun(deps *Deps) *cobra.Command {
	o := &containerRunOptions{containerVerb: containerVerb{deps: deps}, env: map[string]string{}}
	cmd := o.command(&cobra.Command{
		Use:   "run IMAGE [flags] [-- COMMAND [ARGUMENT...]]",
		Short: "Run a container whose services the gateway leads to",
		Long: `Run a container of an image on this machine's Docker Engine, have it join the
gateway's VPN, and wait until the gateway leads to its services. The image is
pulled if it is not there.

A service is HTTP on a port of the container. The container publishes no port of
its own. It is started again whenever its process ends and with Docker itself,
until it is deleted.`,
		Example: `  openshell container run nginx --service web:80
  openshell container run jupyter/base-notebook --name jupyter --service jupyter:8888 --env MODE=lab
  openshell container run python:3.13 --name files --service files:8000 -- python3 -m http.server
  openshell container run nginx --name quick --detach`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(cmd *cobra.Command, args []string) error {
		if err := o.complete(cmd, args); err != nil {
			return err
		}
		return o.run(cmd.Context())
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Name, "name", "", "the container's `name` (default: after the image)")
	serviceFlag(flags, &o.Services, "a service of the container: its name and its port; may be repeated")
	envFlag(flags, o.env, deps.Env, "environment of the container: NAME=VALUE, or NAME for the value here; may be repeated")
	publishFlag(flags)
	flags.BoolVarP(&o.detach, "detach", "d", false, "print the name when it is started, and do not wait for the gateway")
	flags.BoolVarP(&o.attach, "attach", "a", false, "show its output until it ends, or Ctrl-C leaves it")
	for _, flag := range []string{"name", "service", "env"} {
		mustRegister(cmd, flag, cobra.NoFileCompletions)
	}
	mustRegister(cmd, "publish", cobra.FixedCompletions([]string{publishNone}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// complete checks everything that can be checked before anything is done.
func (o *containerRunOptions) complete(cmd *cobra.Command, args []string) error {
	images := args
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		images, o.Argv = args[:dash], args[dash:]
	}
	if len(images) != 1 {
		return usageError(cmd, "`%s` needs one image, not %d arguments; a command stands after --", cmd.CommandPath(), len(images))
	}
	if _, ok := parseImage(images[0]); !ok {
		return fault.New(fault.BadValue, fault.ExitUsage, "%q is not an image reference such as nginx:1.27", images[0])
	}
	switch {
	case o.attach && o.detach:
		return usageError(cmd, "--attach and --detach exclude each other")
	case o.attach && o.output.json():
		return usageError(cmd, "--attach and -o json exclude each other: stdout is the container's")
	}
	o.Image, o.Gateway = images[0], o.on
	if cmd.Flags().Changed("name") {
		if err := usercontainer.CheckName(o.Name); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(o.env) {
		o.Env = append(o.Env, name+"="+o.env[name])
	}
	return o.Check()
}

func (o *containerRunOptions) run(ctx context.Context) error {
	return o.deps.withEngine(ctx, func(engine Engine) error {
		progress := containerProgress{o.deps.steps(o.output)}
		defer progress.Close()
		if err := o.pull(ctx, engine, progress.steps); err != nil {
			return err
		}
		name, err := engine.Containers().Run(ctx, o.Options, progress)
		if err != nil {
			return err
		}
		if o.detach {
			progress.Close()
			if o.output.json() {
				return render.JSON(o.deps.Out, startedDocument{name, "started"})
			}
			_, err := fmt.Fprintln(o.deps.Out, name)
			return err
		}
		return o.joined(ctx, engine, progress, name)
	})
}

// pull has the image on the engine.
func (o *containerRunOptions) pull(ctx context.Context, engine Engine, progress *steps) error {
	host := hostimage.Host{Engine: engine, Endpoint: engine.Endpoint(), Output: o.deps.Err, Step: func(string, string) func(error) { return func(error) {} }}
	if o.output.json() {
		reportDocker(progress, &host)
	}
	_, err := host.Get(ctx, hostimage.Source{Name: o.Image})
	var known *fault.Error
	if errors.As(err, &known) && known.ID == fault.ImageUnusable {
		known.Hints = []string{fmt.Sprintf("`docker pull %s` has to work", o.Image)}
	}
	return err
}

// joined waits until the gateway leads to the container, and says where.
func (o *containerRunOptions) joined(ctx context.Context, engine Engine, progress containerProgress, name string) error {
	end := progress.begin("join the VPN", "")
	c, err := engine.Containers().Await(ctx, o.on, name, joinTime)
	end(err == nil)
	progress.Close()
	if err != nil {
		return err
	}
	if o.output.json() {
		return render.JSON(o.deps.Out, c)
	}
	if !o.attach {
		return o.deps.sayContainer(o.deps.Out, c)
	}
	if err := o.deps.sayContainer(o.deps.Err, c); err != nil {
		return err
	}
	err = engine.Containers().Follow(ctx, o.on, name, o.deps.Out)
	if errors.Is(context.Cause(ctx), errInterrupted) {
		fmt.Fprintf(o.deps.Err, "left container %s running; `openshell container rm %s` deletes it\n", name, name)
		return nil // Ctrl-C is how following ends
	}
	return err
}
