package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/gateway"
)

type restoreResult struct {
	Name              gateway.Name `json:"name"`
	Restored          string       `json:"restored"`
	PresentSetAsideAs string       `json:"presentSetAsideAs,omitempty"` // where the state before is now
}

func newGatewayRestore(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	cmd := &cobra.Command{
		Use:   "restore [NAME] ASIDE [flags]",
		Short: "Bring back a state that was set aside",
		Long: `Bring back a state that was set aside, by its name as "openshell gateway status"
lists it. The present state is set aside in turn: nothing is deleted.`,
		Example: `  openshell gateway restore aside-20260102T030405Z
  openshell gateway restore work aside-20260102T030405Z`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return v.completeAsides(cmd, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 0 || len(args) > 2 {
				return usageError(cmd, "`%s` takes the name of an aside, and before it a gateway's if wanted", cmd.CommandPath())
			}
			last := len(args) - 1
			if v.on, err = v.name.resolve(cmd, deps, args[:last]); err != nil {
				return err
			}
			return v.runRestore(cmd, args[last])
		},
	}
	v.name.add(cmd, deps)
	outputFlag(cmd, &v.output)
	return cmd
}

func (v *verb) runRestore(cmd *cobra.Command, aside string) error {
	ctx := cmd.Context()
	return v.deps.withEngine(ctx, func(engine Engine) error {
		progress := v.deps.progress(v.output)
		before, err := engine.Restore(ctx, v.on, aside, progress)
		progress.Close()
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, restoreResult{Name: v.on, Restored: aside, PresentSetAsideAs: before})
		}
		sentence := fmt.Sprintf("gateway %s has the state of %s again", v.on, aside)
		if before != "" {
			sentence += "; the one before is set aside as " + before
		}
		_, err = fmt.Fprintln(v.deps.Out, sentence)
		return err
	})
}

func (v *verb) completeAsides(cmd *cobra.Command, args []string) []string {
	if len(args) > 1 {
		return nil
	}
	name, err := v.name.resolve(cmd, v.deps, args)
	if err != nil {
		return nil
	}
	var asides []string
	_ = v.deps.withEngine(cmd.Context(), func(engine Engine) error { // completions cannot report errors
		status, err := engine.Status(cmd.Context(), name)
		if err == nil && status.Volume != nil {
			for _, aside := range status.Volume.Asides {
				asides = append(asides, aside.Name)
			}
		}
		return err
	})
	return asides
}
