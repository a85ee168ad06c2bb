//go:build soak

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
)

func stepStarted(op bootstrap.Op) moment {
	return moment{"begin " + string(op), func(e bootstrap.Event) bool { return e.Kind == bootstrap.StepStarted && e.Step == string(op) }}
}

func stepDone(op bootstrap.Op) moment {
	return moment{"after " + string(op), func(e bootstrap.Event) bool { return e.Kind == bootstrap.StepDone && e.Step == string(op) }}
}

// outage is what happens to an engine. Afterwards it answers again.
type outage struct {
	name  string
	of    func(*testing.T, *Engine)
	codes []int // with which a command may end that it happens to
}

func outages() []outage {
	return []outage{
		{"restarted", func(t *testing.T, e *Engine) { e.Stop(t); e.Start(t) }, []int{0, 1, 4}},
		{"killed", func(t *testing.T, e *Engine) { e.Kill(t); e.Start(t) }, []int{0, 1, 4}},
		{"power lost", func(t *testing.T, e *Engine) { e.PowerLoss(t); e.Start(t) }, []int{-1}}, // killed as well,
	}
}

// The engine goes away at every stage of a first boot and comes back at once.
// There was no gateway yet: the command may fail or succeed, and the next one
// leads to a gateway either way, without leaving anything of the first attempt.
func TestEngineGoesAwayWhileStartingFresh(t *testing.T) {
	e := newEngine(t)
	for _, m := range []moment{
		stepDone(bootstrap.CreateNetwork), stepDone(bootstrap.CreateVolume), stepDone(bootstrap.CreateContainer),
		stepStarted(bootstrap.StartContainer), milestone(nodeapi.Etcd), milestone(nodeapi.Secrets), stepStarted(bootstrap.MarkInitialized),
	} {
		for _, o := range outages() {
			t.Run(m.name+", "+o.name, func(t *testing.T) {
				g := e.newGateway(t, "fresh")
				goesAway(t, g, m, o, g.startArgs(t)...)
				g.Start(t)
				g.Running(t)
				g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
				if left := g.onEngine(t); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// The engine goes away while a gateway is resumed, stopped, or used.
func TestEngineGoesAwayUnderAGateway(t *testing.T) {
	e := newEngine(t)
	g := e.newGateway(t, "outage")
	g.Start(t)
	g.Keep(t)
	before := g.Fingerprint(t)
	stop := func(t *testing.T) { t.Helper(); g.CLI(t, "gateway", "stop").Exits(t, 0) }
	remove := func(t *testing.T) { t.Helper(); g.docker(t, "rm", "--force", g.Resource()) }
	for _, s := range []struct {
		name    string
		prepare func(*testing.T)
		moments []moment
		verb    string
	}{
		{"resume", stop, []moment{
			stepStarted(bootstrap.StartContainer), milestone(nodeapi.Mounts), milestone(nodeapi.Etcd), milestone(nodeapi.API), milestone(nodeapi.Node),
		}, "start"},
		{"resume from the volume", remove, []moment{
			stepDone(bootstrap.CreateContainer), stepDone(bootstrap.StartContainer), milestone(nodeapi.API),
		}, "start"},
		{"stop", func(*testing.T) {}, []moment{stepStarted(bootstrap.StopContainer)}, "stop"},
	} {
		for _, m := range s.moments {
			for _, o := range outages() {
				if !t.Run(s.name+", "+m.name+", "+o.name, func(t *testing.T) {
					s.prepare(t)
					goesAway(t, g, m, o, "gateway", s.verb)
					if s.verb == "stop" {
						stop(t)
						g.staysStopped(t)
						o.of(t, e)
						g.staysStopped(t)
					}
					g.Start(t)
					g.Same(t, before)
				}) {
					t.FailNow() // what follows would only fail because of it
				}
			}
		}
	}
	for _, o := range outages() {
		t.Run("stopped, "+o.name, func(t *testing.T) {
			stop(t)
			o.of(t, e)
			g.staysStopped(t)
			g.Start(t)
			g.Same(t, before)
		})
	}
}

// goesAway runs a command during which the engine goes away and comes back.
func goesAway(t *testing.T, g *Gateway, m moment, o outage, args ...string) {
	t.Helper()
	r := g.during(t, m, func() { o.of(t, g.engine) }, args...)
	t.Logf("exit code %d after %s: %s", r.Code, r.Took.Round(time.Millisecond), lastLines(r.Stderr, 2))
	if !slices.Contains(o.codes, r.Code) || strings.Contains(r.Stderr, "panic") {
		t.Errorf("it may end with one of %v\n%s", o.codes, r)
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// onEngine is what the gateway's engine has of it.
func (g *Gateway) onEngine(t testing.TB) []string {
	t.Helper()
	var left []string
	for _, kind := range []string{"container", "volume", "network"} {
		left = append(left, strings.Fields(g.docker(t, listArgs(kind, "name="+string(g.Name))...))...)
	}
	return left
}

// With live-restore a restart of the daemon is none of the gateway.
func TestEngineRestoresLive(t *testing.T) {
	e := newEngine(t, "--live-restore")
	g := e.newGateway(t, "live")
	g.Start(t)
	g.Keep(t)
	before := g.Fingerprint(t)
	since := g.Inspect(t, "{{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}")
	for _, o := range outages()[:2] {
		t.Run(o.name, func(t *testing.T) {
			o.of(t, e)
			g.Running(t)
			g.Start(t).Says(t, "already running")
			if now := g.Inspect(t, "{{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}"); now != since {
				t.Errorf("the node was %s, and is %s", since, now)
			}
			g.Same(t, before)
		})
	}
	t.Run("down", func(t *testing.T) {
		e.Stop(t)
		g.unreachable(t)
		e.Start(t)
		g.Running(t)
	})
	t.Run("away while resuming", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		goesAway(t, g, milestone(nodeapi.Etcd), outages()[0], "gateway", "start")
		g.Start(t)
		g.Same(t, before)
	})
	t.Run("power lost", func(t *testing.T) {
		e.PowerLoss(t)
		e.Start(t)
		g.comesBack(t)
		g.Same(t, before)
	})
}
