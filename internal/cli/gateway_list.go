package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
)

func newGatewayList(deps *Deps) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List gateways and how they are",
		Example: `  openshell gateway list
  openshell gateway list -o json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), deps, format)
		},
	}
	outputFlag(cmd, &format)
	return cmd
}

func runList(ctx context.Context, deps *Deps, format output) error {
	return deps.withEngine(ctx, func(engine Engine) error {
		list, err := engine.List(ctx)
		if err != nil {
			return err
		}
		if format.json() {
			return render.JSON(deps.Out, append([]bootstrap.Summary{}, list...)) // [] rather than null
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(deps.Err, "no gateways; `openshell gateway start` makes one")
			return err
		}
		rows := make([][]string, len(list))
		for i, row := range list {
			mark := ""
			if row.Active {
				mark = "*"
			}
			rows[i] = []string{mark, string(row.Name), string(row.Word), row.Endpoint}
		}
		return render.Table(deps.Out, []string{"", "NAME", "STATUS", "ENDPOINT"}, rows)
	})
}
