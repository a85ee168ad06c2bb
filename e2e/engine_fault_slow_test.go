//go:build soak

package e2e

import (
	"testing"
	"time"

	"openshell.ai/openshell/e2e/dockerproxy"
)

// Every call takes two seconds longer. Everything takes longer, then, and ends
// as it would otherwise.
func TestEngineAnswersSlowly(t *testing.T) {
	e := newEngine(t)
	g := e.newGateway(t, "slow-engine")
	slowly := func(name string, test func(t *testing.T)) {
		t.Helper()
		if !t.Run(name, func(t *testing.T) {
			e.through(t, dockerproxy.Options{Latency: 2 * time.Second})
			began := time.Now()
			test(t)
			t.Logf("took %s", time.Since(began).Round(100*time.Millisecond))
		}) {
			t.FailNow() // what follows would only fail because of it
		}
	}
	slowly("fresh start", func(t *testing.T) { g.Start(t).Says(t, "create container", "wait until healthy", "is running at") })
	g.Keep(t)
	before := g.Fingerprint(t)
	slowly("status", func(t *testing.T) { g.allWell(t) })
	slowly("start of a running gateway", func(t *testing.T) { g.Start(t).Says(t, "already running") })
	slowly("stop", func(t *testing.T) { g.CLI(t, "gateway", "stop").Exits(t, 0) })
	slowly("status of a stopped gateway", func(t *testing.T) { g.staysStopped(t) })
	slowly("resume", func(t *testing.T) { g.Start(t).Says(t, "wait until healthy", "as it was") })
	g.Same(t, before)
	g.docker(t, "rm", "--force", g.Resource())
	slowly("resume from the volume", func(t *testing.T) { g.Start(t).Says(t, "create container", "as it was") })
	g.Same(t, before)
	slowly("sandbox", func(t *testing.T) {
		if r := g.CLI(t, "sandbox", "create", "--", "echo", "hi").Exits(t, 0); r.Stdout != "hi\n" {
			t.Error(r)
		}
	})
	slowly("destroy", func(t *testing.T) { g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0) })
	if left := g.onEngine(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
