//go:build e2e

package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/e2e/dockerproxy"
	"openshell.ai/openshell/pkg/nodeapi"
)

// An engine goes away under a gateway and comes back. While it is away nothing
// is done and nothing forgotten.
func TestPitfall09And10EngineGoesAway(t *testing.T) {
	e := newEngine(t)
	g := e.newGateway(t, "engine")
	g.Start(t)
	g.Keep(t)
	before := g.Fingerprint(t)

	t.Run("API versions", func(t *testing.T) { testEngineVersions(t, g) })
	t.Run("contexts", func(t *testing.T) { testContexts(t, g) })
	for _, fault := range []struct {
		name string
		test func(*testing.T)
	}{
		{"stopped while running", func(t *testing.T) {
			files := g.hostFiles(t)
			e.Stop(t)
			g.unreachable(t)
			if diff := cmp.Diff(files, g.hostFiles(t)); diff != "" {
				t.Errorf("host files were changed (-before +after):\n%s", diff)
			}
			e.Start(t)
			g.comesBack(t)
		}},
		{"machine lost its power while running", func(t *testing.T) {
			e.PowerLoss(t)
			e.Start(t)
			g.comesBack(t)
		}},
		{"killed while running", func(t *testing.T) {
			e.Kill(t)
			e.Start(t)
			g.Start(t) // by itself it comes back only on some engines
		}},
		{"restarted while stopped, then killed while resuming", func(t *testing.T) {
			g.CLI(t, "gateway", "stop").Exits(t, 0)
			e.Stop(t)
			e.Start(t)
			g.staysStopped(t)
			g.during(t, milestone(nodeapi.Etcd), func() { e.Kill(t) }, "gateway", "start").
				Exits(t, 4).Says(t, e.Socket(), "does not answer")
			e.Start(t)
			g.Start(t)
		}},
	} {
		if !t.Run(fault.name, func(t *testing.T) {
			fault.test(t)
			g.Same(t, before)
		}) {
			t.FailNow() // what follows would only fail because of it
		}
	}
}

// testEngineVersions has the engine announce other versions of its API. A
// variable that the docker command obeys does not lead to an older one.
func testEngineVersions(t *testing.T, g *Gateway) {
	for announced, accepted := range map[string]bool{"1.24": false, "1.40": false, "1.41": true, "1.99": true} {
		t.Run(announced, func(t *testing.T) {
			g.engine.through(t, dockerproxy.Options{APIVersion: announced})
			if accepted {
				g.allWell(t)
				g.Start(t).Says(t, "already running")
				return
			}
			for _, verb := range []string{"status", "start", "stop"} {
				g.CLI(t, "gateway", verb).Exits(t, 4).Says(t, g.engine.via, "API "+announced, "1.41 or later", "20.10")
			}
		})
	}
	r := g.engine.run(t, append(g.Env(), "DOCKER_API_VERSION=1.24"), "", openshellBin, "gateway", "status")
	r.Exits(t, 0)
}

// testContexts finds the engine by what the docker command writes.
func testContexts(t *testing.T, g *Gateway) {
	config := t.TempDir()
	docker := func(args ...string) {
		t.Helper()
		run(t, []string{"DOCKER_HOST=", "DOCKER_CONFIG=" + config}, "", "docker", args...).Exits(t, 0)
	}
	status := func(env ...string) Result {
		t.Helper()
		env = append(append(g.Env(), "DOCKER_HOST=", "DOCKER_CONTEXT=", "DOCKER_CONFIG="+config), env...)
		return run(t, env, "", "nsenter", g.engine.inside(openshellBin, "gateway", "status")...)
	}
	docker("context", "create", "e2e", "--docker", "host=unix://"+g.engine.Socket())
	docker("context", "create", "far", "--docker", "host=ssh://e2e.invalid")
	status("DOCKER_CONTEXT=e2e").Exits(t, 0).Says(t, g.Endpoint())
	status("DOCKER_CONTEXT=far").Exits(t, 4).Says(t, "ssh://e2e.invalid", `"far"`)
	docker("context", "use", "e2e")
	status().Exits(t, 0).Says(t, g.Endpoint())
	status("DOCKER_CONTEXT=far", "DOCKER_HOST=unix://"+g.engine.Socket()).Exits(t, 0).Says(t, g.Endpoint())
}
