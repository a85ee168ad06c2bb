//go:build soak

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A hundred times the gateway ends, well or badly, right after something was
// written; a hundred times it is all there.
func TestPitfall23HundredCycles(t *testing.T) {
	g := started(t, "cycles")
	g.Keep(t)
	before := g.Fingerprint(t)
	ends := []func(){
		func() { g.CLI(t, "gateway", "stop").Exits(t, 0) },
		func() { docker(t, "kill", g.Resource()) },
		func() { docker(t, "rm", "--force", g.Resource()) },
		func() { docker(t, "stop", g.Resource()) },
		func() { docker(t, "kill", g.Resource()); docker(t, "network", "rm", g.Resource()) },
	}
	var took []time.Duration
	for i := range 100 {
		last := fmt.Sprintf("cycle-%d", i)
		g.Kubectl(t, "create", "configmap", "--namespace", keptNamespace, last)
		ends[i%len(ends)]()
		took = append(took, g.Start(t).Took)
		g.Kubectl(t, "get", "configmap", "--namespace", keptNamespace, last)
		g.Same(t, before)
	}
	slices.Sort(took)
	t.Logf("resumes: median %s, longest %s", took[len(took)/2], took[len(took)-1])
}
