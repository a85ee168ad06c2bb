package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

type destroyResult struct {
	Name      gateway.Name   `json:"name"`
	Was       bootstrap.Word `json:"was"`
	Destroyed bool           `json:"destroyed"` // by this command
}

type destroyOptions struct {
	verb
	yes bool
}

func newGatewayDestroy(deps *Deps) *cobra.Command {
	opts := &destroyOptions{verb: verb{deps: deps}}
	cmd := opts.command(&cobra.Command{
		Use:   "destroy [NAME] [flags]",
		Short: "Delete a gateway with all it holds",
		Long: `Delete a gateway: its container, network, volume and files on this host, and so
every sandbox, key and file it holds. User containers go with it. Images are kept.

On a terminal it asks first; elsewhere it needs --yes.`,
		Example: `  openshell gateway destroy
  openshell gateway destroy work --yes`,
	}, opts.run)
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *destroyOptions) run(ctx context.Context) error {
	if err := o.confirm(ctx); err != nil {
		return err
	}
	return o.deps.withEngine(ctx, func(engine Engine) error {
		progress := o.deps.progress(o.output)
		was, err := engine.Destroy(ctx, o.on, progress)
		progress.Close()
		if err != nil {
			return err
		}
		if o.output.json() {
			return render.JSON(o.deps.Out, destroyResult{Name: o.on, Was: was, Destroyed: was != bootstrap.Absent})
		}
		sentence := fmt.Sprintf("gateway %s is destroyed; the node image is kept", o.on)
		if was == bootstrap.Absent {
			sentence = fmt.Sprintf("gateway %s does not exist: nothing to destroy", o.on)
		}
		_, err = fmt.Fprintln(o.deps.Out, sentence)
		return err
	})
}

func (o *destroyOptions) confirm(ctx context.Context) error {
	if o.yes {
		return nil
	}
	if !o.deps.InTTY || !o.deps.ErrTTY {
		return fault.New(fault.NeedsYes, fault.ExitUsage, "destroying gateway %s needs a confirmation, and this is no terminal to ask on", o.on).
			Hint("to delete the gateway with all it holds: `openshell gateway destroy %s --yes`", o.on)
	}
	question := fmt.Sprintf("Destroy gateway %s with its sandboxes, containers, keys and files? [y/N] ", o.on)
	agreed, err := ask(ctx, o.deps.Streams, question)
	if err != nil {
		return err
	}
	if !agreed {
		return fault.New(fault.NeedsYes, fault.ExitUsage, "gateway %s was not destroyed: the answer was not yes", o.on)
	}
	return nil
}
