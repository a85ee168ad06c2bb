package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

type resetResult struct {
	Name  gateway.Name `json:"name"`
	Reset bool         `json:"reset"`
}

type resetOptions struct {
	verb
	yes bool
}

func newGatewayReset(deps *Deps) *cobra.Command {
	opts := &resetOptions{verb: verb{deps: deps}}
	cmd := opts.command(&cobra.Command{
		Use:   "reset [NAME] [flags]",
		Short: "Restart a gateway's VPN and app-gateway, with new VPN keys",
		Long: `Stop a gateway's VPN and app-gateway, and start them again with new keys: packages
of VPN clients are refused from then on. The web server gets its base configuration
back, or is started if it does not run, and for a moment routes lead nowhere. The
gateway's API and its sandboxes go on.

To bring back what failed, with the keys it had: openshell gateway start.

On a terminal it asks first; elsewhere it needs --yes.`,
		Example: `  openshell gateway reset
  openshell gateway reset work --yes`,
	}, opts.run)
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *resetOptions) run(ctx context.Context) error {
	if err := o.confirm(ctx); err != nil {
		return err
	}
	return o.deps.withEngine(ctx, func(engine Engine) error {
		progress := o.deps.progress(o.output)
		err := engine.ResetEdge(ctx, o.on, progress)
		progress.Close()
		if err != nil {
			return err
		}
		if o.output.json() {
			return render.JSON(o.deps.Out, resetResult{Name: o.on, Reset: true})
		}
		_, err = fmt.Fprintf(o.deps.Out, "the edge of gateway %s is back, with new VPN keys\n", o.on)
		return err
	})
}

func (o *resetOptions) confirm(ctx context.Context) error {
	if o.yes {
		return nil
	}
	if !o.deps.InTTY || !o.deps.ErrTTY {
		return fault.New(fault.NeedsYes, fault.ExitUsage, "resetting gateway %s makes the keys of its VPN clients useless, and this is no terminal to ask on", o.on).
			Hint("to bring back what failed with the keys it had: `openshell gateway start %s`", o.on).
			Hint("to give them up: `openshell gateway reset %s --yes`", o.on)
	}
	question := fmt.Sprintf("Reset gateway %s? Its VPN gets new keys, and routes lead nowhere for a moment. [y/N] ", o.on)
	agreed, err := ask(ctx, o.deps.Streams, question)
	if err != nil {
		return err
	}
	if !agreed {
		return fault.New(fault.NeedsYes, fault.ExitUsage, "gateway %s was not reset: the answer was not yes", o.on)
	}
	return nil
}
