package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

func newDoctor(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "doctor",
		Short: "Examine this host and collect what a bug report needs",
		Example: `  openshell doctor check
  openshell doctor bundle`,
	})
	check := &verb{deps: deps}
	addTo(cmd, "", check.command(&cobra.Command{
		Use:   "check [NAME] [flags]",
		Short: "Examine Docker, this host and a gateway",
		Long: `Examine Docker, this host and a gateway, and say of each thing whether it is as
it should be. Exit code 1 says that something is not.`,
		Example: `  openshell doctor check
  openshell doctor check work -o json`,
	}, check.runCheck), newDoctorBundle(deps))
	return cmd
}

func (v *verb) runCheck(ctx context.Context) error {
	var checks []nodeapi.Check
	err := v.deps.withEngine(ctx, func(engine Engine) (err error) {
		checks, err = engine.Check(ctx, v.on)
		return err
	})
	if err != nil {
		return err
	}
	failing := 0
	rows := make([][]string, len(checks))
	for i, check := range checks {
		mark := "ok"
		if !check.OK {
			mark = "FAIL"
			failing++
		}
		rows[i] = []string{mark, check.ID, check.Message}
	}
	if v.output.json() {
		err = render.JSON(v.deps.Out, struct {
			Checks []nodeapi.Check `json:"checks"`
		}{append([]nodeapi.Check{}, checks...)})
	} else if err = render.Table(v.deps.Out, nil, rows); err == nil && failing > 0 {
		_, err = fmt.Fprintf(v.deps.Err, "failing: %d of %d checks\n", failing, len(checks))
	}
	if err == nil && failing > 0 {
		err = exitCode(fault.ExitFailure)
	}
	return err
}
