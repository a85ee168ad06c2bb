//go:build bench

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/nodeapi"
)

// TestEdgeCostsNoTime measures a resume and a stop with the edge and without it,
// in turn, so that both meet the same machine. The edge is taken away by a
// program that cannot be executed: the node then has nothing to start.
func TestEdgeCostsNoTime(t *testing.T) {
	n := rounds
	if given := os.Getenv("OPENSHELL_BENCH_ROUNDS"); given != "" {
		var err error
		if n, err = strconv.Atoi(given); err != nil || n < 1 {
			t.Fatalf("OPENSHELL_BENCH_ROUNDS is %q, not a positive number", given)
		}
	}
	g := started(t, "edgecost")
	settled := func(state nodeapi.EdgeState) {
		eventually(t, time.Minute, "the edge is "+string(state), func() bool {
			e := g.Running(t).Edge
			return e != nil && e.State == state
		})
	}
	type figures struct{ api, ready, stop []time.Duration }
	with, without := &figures{}, &figures{}
	for range n {
		for _, side := range []struct {
			into  *figures
			mode  string
			state nodeapi.EdgeState
		}{{with, "0755", nodeapi.EdgeReady}, {without, "0644", nodeapi.EdgeFailed}} {
			g.Sh(t, "chmod "+side.mode+" "+edge.BuiltIn+"/bin/app-gateway")
			g.CLI(t, "gateway", "stop").Exits(t, 0)
			began := time.Now()
			side.into.api = append(side.into.api, g.Start(t).Took)
			settled(side.state)
			side.into.ready = append(side.into.ready, time.Since(began))
			side.into.stop = append(side.into.stop, g.CLI(t, "gateway", "stop").Exits(t, 0).Took)
			g.Start(t) // to change the mode of what is in the container
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-28s %9s %9s\n", "medians", "with", "without")
	median := func(took []time.Duration) time.Duration {
		slices.Sort(took)
		return took[len(took)/2]
	}
	fmt.Fprintf(&table, "%-28s %9s %9s\n", "resume until the API answers", show(median(with.api)), show(median(without.api)))
	fmt.Fprintf(&table, "%-28s %9s %9s\n", "resume until the edge serves", show(median(with.ready)), "")
	fmt.Fprintf(&table, "%-28s %9s %9s\n", "stop", show(median(with.stop)), show(median(without.stop)))
	t.Log(table.String())
	// A busy machine varies by more than the edge could cost.
	const tolerance = time.Second
	if cost := median(with.api) - median(without.api); cost > tolerance {
		t.Errorf("the edge makes a resume %s longer", show(cost))
	}
	const limit = 4 * time.Second
	if stop := median(with.stop); stop > limit {
		t.Errorf("a stop takes %s, more than %s", show(stop), show(limit))
	}
}
