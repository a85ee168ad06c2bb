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

	"openshell.ai/openshell/pkg/nodeapi"
)

// rounds is how often each thing is measured; OPENSHELL_BENCH_ROUNDS changes
// it.
const rounds = 10

// budget is one line of the contract's time budgets. A median over the limit
// fails the benchmark; the aim is only shown.
type budget struct {
	name       string
	aim, limit time.Duration
	before     func(testing.TB, *Gateway) // not measured
	measured   func(testing.TB, *Gateway) time.Duration
	after      func(testing.TB, *Gateway) // not measured
}

func budgets() []budget {
	stop := func(t testing.TB, g *Gateway) { g.CLI(t, "gateway", "stop").Exits(t, 0) }
	start := func(t testing.TB, g *Gateway) time.Duration { return g.Start(t).Took }
	return []budget{
		{name: "resume, stopped", aim: 3 * time.Second, limit: 6 * time.Second, before: stop, measured: start},
		{name: "resume, volume only", aim: 3500 * time.Millisecond, limit: 7 * time.Second,
			before: func(t testing.TB, g *Gateway) { docker(t, "rm", "--force", g.Resource()) }, measured: start},
		{name: "start, running", aim: 250 * time.Millisecond, limit: 600 * time.Millisecond, measured: start},
		{name: "stop", aim: 2 * time.Second, limit: 4 * time.Second,
			measured: func(t testing.TB, g *Gateway) time.Duration { return g.CLI(t, "gateway", "stop").Exits(t, 0).Took },
			after:    func(t testing.TB, g *Gateway) { g.Start(t) }},
		{name: "sandbox create -- true", aim: 1200 * time.Millisecond, limit: 3 * time.Second,
			measured: func(t testing.TB, g *Gateway) time.Duration {
				return g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", "bench", "--", "true").Exits(t, 0).Took
			},
			after: func(t testing.TB, g *Gateway) { (&Box{g, "bench"}).delete(t) }},
		{name: "sandbox exec -- true", aim: 150 * time.Millisecond, limit: 600 * time.Millisecond,
			before: func(t testing.TB, g *Gateway) {
				g.CLI(t, "sandbox", "create", "--name", "bench", "--detach").Exits(t, 0)
			},
			measured: func(t testing.TB, g *Gateway) time.Duration {
				return (&Box{g, "bench"}).exec(t, "true").Exits(t, 0).Took
			},
			after: func(t testing.TB, g *Gateway) { (&Box{g, "bench"}).delete(t) }},
		{name: "openshell --help", aim: 20 * time.Millisecond, limit: 100 * time.Millisecond,
			measured: func(t testing.TB, g *Gateway) time.Duration { return g.CLI(t, "--help").Exits(t, 0).Took }},
		{name: "fresh start", aim: 6 * time.Second, limit: 12 * time.Second,
			before: func(t testing.TB, g *Gateway) { g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0) }, measured: start},
	}
}

func TestBudgets(t *testing.T) {
	n := rounds
	if given := os.Getenv("OPENSHELL_BENCH_ROUNDS"); given != "" {
		var err error
		if n, err = strconv.Atoi(given); err != nil || n < 1 {
			t.Fatalf("OPENSHELL_BENCH_ROUNDS is %q, not a positive number", given)
		}
	}
	g := started(t, "bench")
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-22s %9s %9s %9s %9s\n", "", "median", "max", "aim", "limit")
	for _, b := range budgets() {
		var took []time.Duration
		for range n {
			if b.before != nil {
				b.before(t, g)
			}
			took = append(took, b.measured(t, g))
			if b.after != nil {
				b.after(t, g)
			}
		}
		slices.Sort(took)
		median := took[len(took)/2]
		fmt.Fprintf(&table, "%-22s %9s %9s %9s %9s\n", b.name, show(median), show(took[len(took)-1]), show(b.aim), show(b.limit))
		if median > b.limit {
			t.Errorf("%s takes %s, more than %s", b.name, median, b.limit)
		}
	}
	fmt.Fprint(&table, breakdown(t, g, n), idle(t, g), many(t, g))
	t.Log(table.String())
}

// breakdown is where the time of a resume goes: medians of when each milestone
// was reached, from the start of the container's first process.
func breakdown(t testing.TB, g *Gateway, n int) string {
	t.Helper()
	reached := map[nodeapi.Milestone][]int64{}
	for range n {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		g.Start(t)
		var status nodeapi.Status
		// The last milestones are noted a moment after the endpoint answers.
		eventually(t, 10*time.Second, "the last milestone", func() bool {
			status = *g.Running(t).Node
			return status.Has(nodeapi.Endpoint) && status.Has(nodeapi.Workload)
		})
		for _, m := range status.Milestones {
			reached[m.Name] = append(reached[m.Name], m.AfterMS)
		}
	}
	order := make([]nodeapi.Milestone, 0, len(reached))
	median := map[nodeapi.Milestone]int64{}
	for name, after := range reached {
		slices.Sort(after)
		median[name] = after[len(after)/2]
		order = append(order, name)
	}
	slices.SortFunc(order, func(a, b nodeapi.Milestone) int { return int(median[a] - median[b]) })
	var out strings.Builder
	out.WriteString("\na resume by milestone, after the container's start\n")
	for _, name := range order {
		fmt.Fprintf(&out, "%-22s %6d ms\n", name, median[name])
	}
	return out.String()
}

// idle is what a gateway without sandboxes uses, over half a minute.
func idle(t testing.TB, g *Gateway) string {
	t.Helper()
	const span = 30 * time.Second
	const settle = 30 * time.Second
	time.Sleep(settle)
	before := cpuTime(t, g)
	time.Sleep(span)
	used := cpuTime(t, g) - before
	memory := g.Inspect(t, "{{.Id}}")
	out := docker(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", memory)
	return fmt.Sprintf("\nidle: %s of memory, %.1f %% of a core (aim: 400 MiB, 3 %%)\n",
		strings.TrimSpace(strings.Split(out, "/")[0]), 100*used.Seconds()/span.Seconds())
}

// many is how long fifty idle sandboxes take to be made and to come back.
func many(t testing.TB, g *Gateway) string {
	t.Helper()
	const n = 50
	each := func(total time.Duration) string {
		return fmt.Sprintf("%s, %s each", show(total), (total / n).Round(time.Millisecond))
	}
	began := time.Now()
	for i := range n {
		g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", fmt.Sprintf("idle-%02d", i), "--detach").Exits(t, 0)
	}
	made := time.Since(began)
	memory := docker(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", g.Resource())
	began = time.Now()
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	stopped := time.Since(began)
	began = time.Now()
	g.Start(t)
	healthy := time.Since(began)
	eventually(t, 5*time.Minute, "fifty sandboxes are back", func() bool { return g.ready(t) == n })
	back := time.Since(began)
	g.CLI(t, "sandbox", "delete", "--all", "--yes").Exits(t, 0)
	return fmt.Sprintf("\n%d idle sandboxes: made one after the other in %s; memory %s; stop %s; gateway healthy after %s; all back after %s\n",
		n, each(made), strings.TrimSpace(strings.Split(memory, "/")[0]), show(stopped), show(healthy), each(back))
}

// cpuTime is what every process of the node has used so far.
func cpuTime(t testing.TB, g *Gateway) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform of Docker
	ticks := g.Sh(t, `cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk '{ sum += $12 + $13 } END { print sum }'`)
	n, err := strconv.Atoi(ticks)
	if err != nil {
		t.Fatalf("processor time: %v", err)
	}
	return time.Duration(n) * tick
}

func show(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
