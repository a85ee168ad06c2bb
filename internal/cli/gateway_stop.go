package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/gateway"
)

type stopResult struct {
	Name    gateway.Name   `json:"name"`
	Was     bootstrap.Word `json:"was"`
	Stopped bool           `json:"stopped"` // by this command
}

func newGatewayStop(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	return v.command(&cobra.Command{
		Use:   "stop [NAME] [flags]",
		Short: "Stop a gateway; everything is kept",
		Example: `  openshell gateway stop
  openshell gateway stop work`,
	}, v.runStop)
}

func (v *verb) runStop(ctx context.Context) error {
	return v.deps.withEngine(ctx, func(engine Engine) error {
		progress := v.deps.progress(v.output)
		was, err := engine.Stop(ctx, v.on, progress)
		progress.Close()
		if err != nil {
			return err
		}
		result := stopResult{Name: v.on, Was: was}
		sentence := fmt.Sprintf("gateway %s was not running (%s)", v.on, was)
		switch was {
		case bootstrap.Absent:
			sentence = fmt.Sprintf("gateway %s does not exist: nothing to stop", v.on)
		case bootstrap.Stopped, bootstrap.Suspended, bootstrap.Unborn, bootstrap.Broken, bootstrap.Removing:
		default:
			result.Stopped = true
			sentence = fmt.Sprintf("gateway %s is stopped", v.on)
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, result)
		}
		_, err = fmt.Fprintln(v.deps.Out, sentence)
		return err
	})
}
