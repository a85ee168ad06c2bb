package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/gateway"
)

func newGatewaySelect(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	cmd := v.command(&cobra.Command{
		Use:     "select NAME [flags]",
		Short:   "Choose the gateway commands act on when none is named",
		Example: `  openshell gateway select work`,
	}, v.runSelect)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !cmd.Flags().Changed("name") {
			return usageError(cmd, "`%s` needs the name of a gateway", cmd.CommandPath()).Hint("`openshell gateway list` shows them")
		}
		return nil
	}
	return cmd
}

func (v *verb) runSelect(ctx context.Context) error {
	return v.deps.withEngine(ctx, func(engine Engine) error {
		if err := engine.Select(ctx, v.on); err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, struct {
				Selected gateway.Name `json:"selected"`
			}{v.on})
		}
		_, err := fmt.Fprintf(v.deps.Out, "gateway %s is selected\n", v.on)
		return err
	})
}
