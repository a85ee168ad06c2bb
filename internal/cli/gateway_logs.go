package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

const defaultTail = 200

type logsOptions struct {
	deps   *Deps
	name   nameFlag
	tail   int
	follow bool
}

func newGatewayLogs(deps *Deps) *cobra.Command {
	opts := &logsOptions{deps: deps, tail: defaultTail}
	cmd := &cobra.Command{
		Use:   "logs [NAME] [flags]",
		Short: "Print the log of a gateway's node",
		Example: `  openshell gateway logs
  openshell gateway logs work --follow
  openshell gateway logs --tail 0        all there is`,
		ValidArgsFunction: nameArgument(deps),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := opts.name.resolve(cmd, deps, args)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			err = deps.withEngine(ctx, func(engine Engine) error {
				return engine.Logs(ctx, name, opts.tail, opts.follow, deps.Out)
			})
			if opts.follow && errors.Is(context.Cause(ctx), errInterrupted) {
				return nil // Ctrl-C is how following ends
			}
			return err
		},
	}
	opts.name.add(cmd, deps)
	linesFlag(cmd.Flags(), &opts.tail, "tail", "print this many last lines; 0 for all")
	cmd.Flags().BoolVarP(&opts.follow, "follow", "f", false, "go on printing until Ctrl-C")
	mustRegister(cmd, "tail", cobra.NoFileCompletions)
	return cmd
}
