package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

type restoreResult struct {
	Name              gateway.Name `json:"name"`
	Restored          string       `json:"restored"`
	AsOf              time.Time    `json:"asOf"`                        // when what is restored was made or set aside
	PresentSetAsideAs string       `json:"presentSetAsideAs,omitempty"` // where what was there before is now
}

type restoreList struct {
	Name   gateway.Name    `json:"name"`
	States []nodeapi.Aside `json:"states"`
}

func newGatewayRestore(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	cmd := &cobra.Command{
		Use:   "restore [[NAME] STATE] [flags]",
		Short: "Bring back a state that was set aside, or a snapshot",
		Long: `Bring back a state that was set aside, or a snapshot. Without a STATE, list what
there is.

An aside is everything the gateway had. A snapshot holds what the gateway knew:
its sandboxes and secrets, as of then. The files of the sandboxes stay as they are
now; a sandbox made later is unknown, and one deleted since comes back empty.

What is in the place of either is set aside in turn, and restored by its name:
nothing is deleted.`,
		Example: `  openshell gateway restore
  openshell gateway restore aside-20260102T030405Z
  openshell gateway restore work snapshot-20260102T030405Z`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return v.completeStates(cmd, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 2 {
				return usageError(cmd, "`%s` takes the name of a state, and before it a gateway's if wanted", cmd.CommandPath())
			}
			last := max(0, len(args)-1)
			if v.on, err = v.name.resolve(cmd, deps, args[:last]); err != nil {
				return err
			}
			if len(args) == 0 {
				return v.runRestoreList(cmd)
			}
			return v.runRestore(cmd, args[last])
		},
	}
	v.name.add(cmd, deps)
	outputFlag(cmd, &v.output)
	return cmd
}

func (v *verb) runRestore(cmd *cobra.Command, state string) error {
	ctx := cmd.Context()
	return v.deps.withEngine(ctx, func(engine Engine) error {
		progress := v.deps.progress(v.output)
		before, err := engine.Restore(ctx, v.on, state, progress)
		progress.Close()
		if err != nil {
			return err
		}
		kind, at, _ := nodeapi.ParseState(state)
		if v.output.json() {
			return render.JSON(v.deps.Out, restoreResult{Name: v.on, Restored: state, AsOf: at, PresentSetAsideAs: before})
		}
		sentence := fmt.Sprintf("gateway %s has the state of %s again", v.on, state)
		if kind == nodeapi.SnapshotPrefix {
			sentence = fmt.Sprintf("gateway %s is again as of %s, with the files of its sandboxes as they are now", v.on, bootstrap.AsOf(at, time.Now()))
		}
		if before != "" {
			sentence += "; the one before is set aside as " + before
		}
		_, err = fmt.Fprintln(v.deps.Out, sentence)
		return err
	})
}

func (v *verb) runRestoreList(cmd *cobra.Command) error {
	return v.deps.withEngine(cmd.Context(), func(engine Engine) error {
		states, err := engine.Restorable(cmd.Context(), v.on)
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, restoreList{Name: v.on, States: append([]nodeapi.Aside{}, states...)})
		}
		if len(states) == 0 {
			_, err := fmt.Fprintf(v.deps.Err, "gateway %s has no state set aside, and no snapshot\n", v.on)
			return err
		}
		var rows [][]string
		for _, state := range states {
			rows = append(rows, []string{state.Name, bootstrap.AsOf(state.At, time.Now())})
		}
		return render.Table(v.deps.Out, []string{"STATE", "AS OF"}, rows)
	})
}

func (v *verb) completeStates(cmd *cobra.Command, args []string) []string {
	if len(args) > 1 {
		return nil
	}
	name, err := v.name.resolve(cmd, v.deps, args)
	if err != nil {
		return nil
	}
	var names []string
	_ = v.deps.withEngine(cmd.Context(), func(engine Engine) error { // completions cannot report errors
		status, err := engine.Status(cmd.Context(), name)
		if err != nil || status.Volume == nil {
			return err
		}
		for _, state := range status.Volume.Restorable() {
			names = append(names, state.Name)
		}
		return nil
	})
	return names
}
