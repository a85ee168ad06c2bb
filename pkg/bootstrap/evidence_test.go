package bootstrap

import (
	"fmt"
	"slices"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

func TestEdgeLogIsReadWhetherTheGatewayRunsOrNot(t *testing.T) {
	const file = nodeapi.Current + "/edge/logs/gateway.log"
	inTime(t, func(t *testing.T, r *rig) {
		if _, err := r.m.EdgeLog(t.Context(), testName, "gateway.log"); !fault.HasID(err, fault.NotFound) {
			t.Errorf("without a gateway: %v", err)
		}
		r.mustStart(StartOptions{})
		r.engine.OnExec(func(_ *dockertest.Fake, _ docker.Container, spec docker.ExecSpec) (int, error) {
			if !slices.Contains(spec.Argv, file) {
				fmt.Fprintln(spec.Stderr, "no such file")
				return 1, nil
			}
			fmt.Fprint(spec.Stdout, "while it runs")
			return 0, nil
		})
		if log, err := r.m.EdgeLog(t.Context(), testName, "gateway.log"); err != nil || string(log) != "while it runs" {
			t.Errorf("%q, %v", log, err)
		}
		if _, err := r.m.EdgeLog(t.Context(), testName, "other.log"); !fault.HasID(err, fault.EdgeFailed) {
			t.Errorf("a log that is not there: %v", err)
		}
		r.stop()
		if log, err := r.m.EdgeLog(t.Context(), testName, "gateway.log"); err != nil || len(log) > 0 {
			t.Errorf("never begun: %q, %v", log, err)
		}
		c, err := r.m.Container(t.Context(), testName)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.engine.WriteFile(t.Context(), c.ID, file, 0o600, []byte("what it said")); err != nil {
			t.Fatal(err)
		}
		if log, err := r.m.EdgeLog(t.Context(), testName, "gateway.log"); err != nil || string(log) != "what it said" {
			t.Errorf("stopped: %q, %v", log, err)
		}
	})
}
