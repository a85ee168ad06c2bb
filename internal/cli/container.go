package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/usercontainer"
)

// Containers are the user containers of an engine. *usercontainer.Manager is it.
type Containers interface {
	Run(ctx context.Context, opts usercontainer.Options, out usercontainer.Progress) (name string, err error)
	Start(ctx context.Context, on gateway.Name, name string, out usercontainer.Progress) error
	Remove(ctx context.Context, on gateway.Name, name string, out usercontainer.Progress) error
	List(ctx context.Context, on gateway.Name) (usercontainer.Listing, error)
	Await(ctx context.Context, on gateway.Name, name string, limit time.Duration) (usercontainer.Container, error)
	Follow(ctx context.Context, on gateway.Name, name string, w io.Writer) error
}

func newContainer(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "container",
		Short: "Run containers of this machine behind a gateway",
		Long: `Run containers on this machine's Docker Engine whose services a gateway leads to.
The image needs nothing of openshell: beside the container runs another that joins
the gateway's VPN, and the two share a network. A service NAME is then reached as
http://NAME.localhost:PORT/ and as http://127.0.0.1:PORT/NAME/, where PORT is the
gateway's.

A command acts on the gateway named by --gateway, else by OPENSHELL_GATEWAY, else
on the selected one, else on "openshell".`,
		Example: `  openshell container run nginx --service web:80
  openshell container list
  openshell container rm nginx`,
	})
	addTo(cmd, "", newContainerRun(deps), newContainerStart(deps), newContainerList(deps), newContainerRemove(deps))
	return cmd
}

// containerVerb is what every command on a gateway's user containers has.
type containerVerb struct {
	deps    *Deps
	gateway gatewayFlag
	output  output
	on      gateway.Name // resolved
}

// command completes cmd with --gateway and -o, and runs it with the gateway
// resolved.
func (v *containerVerb) command(cmd *cobra.Command, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	v.gateway.add(cmd, v.deps)
	outputFlag(cmd, &v.output)
	if cmd.Args == nil {
		cmd.Args = cobra.ArbitraryArgs
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if v.on, err = v.gateway.resolve(cmd, v.deps); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// onContainer is command for verbs on one container.
func (v *containerVerb) onContainer(cmd *cobra.Command, run func(ctx context.Context, name string) error) *cobra.Command {
	cmd.ValidArgsFunction = v.completeContainer
	return v.command(cmd, func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			failure := usageError(cmd, "`%s` needs the name of one container, not %d arguments", cmd.CommandPath(), len(args))
			if names := v.known(cmd.Context()); len(names) > 0 {
				failure.Hint("containers of gateway %s: %s", v.on, strings.Join(names, ", "))
			}
			return failure
		}
		if err := usercontainer.CheckName(args[0]); err != nil {
			return err
		}
		return run(cmd.Context(), args[0])
	})
}

// known are the names of the gateway's containers if Docker answers quickly,
// else none.
func (v *containerVerb) known(ctx context.Context) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	var names []string
	_ = v.deps.withEngine(ctx, func(engine Engine) error { // a completion cannot report errors
		list, err := engine.Containers().List(ctx, v.on)
		for _, c := range list.Containers {
			names = append(names, c.Name)
		}
		return err
	})
	return names
}

func (v *containerVerb) completeContainer(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var err error
	if v.on, err = v.gateway.resolve(cmd, v.deps); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return v.known(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

// containerProgress shows the steps of package usercontainer.
type containerProgress struct{ *steps }

func (p containerProgress) Step(name, cause string) func(changed bool) { return p.begin(name, cause) }
func (p containerProgress) Note(message string)                        { p.note(message) }
func (p containerProgress) Warn(message string)                        { p.warn(message) }
