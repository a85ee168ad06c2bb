//go:build e2e

package e2e

import "testing"

// One gateway lives through everything that can happen to it.
func TestLifecycle(t *testing.T) {
	g := started(t, "lifecycle")
	g.Running(t)
	g.Keep(t)
	before := g.Fingerprint(t)

	t.Run("gateway stop", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		g.Start(t)
		g.Same(t, before)
	})
}
