package cli

import (
	"context"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

func newGatewayExec(deps *Deps) *cobra.Command {
	var name nameFlag
	cmd := &cobra.Command{
		Use:   "exec [NAME] [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a gateway's node",
		Long: `Run a command in a gateway's node, with this terminal if there is one. The exit
code is the command's, or 125 when it could not be run.`,
		Example: `  openshell gateway exec -- df -h
  openshell gateway exec work -- bash`,
		Annotations:       map[string]string{runsUserCommand: "true"},
		ValidArgsFunction: nameArgument(deps),
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 0 || dash == len(args) {
				return usageError(cmd, "put the command to run after --").Hint("`openshell gateway exec -- df -h`")
			}
			on, err := name.resolve(cmd, deps, args[:dash])
			if err != nil {
				return err
			}
			return deps.runInNode(cmd.Context(), on, args[dash:])
		},
	}
	name.add(cmd, deps)
	return cmd
}

func newGatewayKubectl(deps *Deps) *cobra.Command {
	var name nameFlag
	cmd := &cobra.Command{
		Use:   "kubectl [--name NAME] [ARGUMENT...]",
		Short: "Run kubectl in a gateway's node",
		Long: `Run kubectl against the Kubernetes of a gateway. Everything after the first
argument is kubectl's own, so the gateway is named by --name before it. The exit
code is kubectl's, or 125 when it could not be run.`,
		Example: `  openshell gateway kubectl get pods --all-namespaces
  openshell gateway kubectl --name work -- get pods -n openshell`,
		Annotations:       map[string]string{runsUserCommand: "true"},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			on, err := name.resolve(cmd, deps, nil)
			if err != nil {
				return err
			}
			return deps.runInNode(cmd.Context(), on, append([]string{nodeapi.Binary, nodeapi.CmdKubectl}, args...))
		},
	}
	cmd.Flags().SetInterspersed(false)
	name.add(cmd, deps)
	return cmd
}

// runInNode runs argv in the node with the streams of this process and passes
// its exit code on.
func (d *Deps) runInNode(ctx context.Context, name gateway.Name, argv []string) error {
	return d.withEngine(ctx, func(engine Engine) error {
		stdio := bootstrap.Stdio{In: d.In, Out: d.Out, Err: d.Err, TTY: d.InTTY && d.OutTTY}
		if stdio.TTY {
			restore, sizes, err := rawTerminal(ctx, d.In, d.Out)
			if err != nil {
				return err
			}
			defer restore()
			stdio.Sizes = sizes
		}
		code, err := engine.Exec(ctx, name, argv, stdio)
		if err != nil {
			return err
		}
		if code != 0 {
			return exitCode(code)
		}
		return nil
	})
}
