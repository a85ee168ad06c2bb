//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// A first boot with a quarter of a core takes long, and is let to.
func TestPitfall16SlowHost(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "slow")
	r := g.Start(t, "--cpus", "0.25")
	t.Logf("fresh start with a quarter of a core in %s", r.Took.Round(time.Second))
	g.Running(t)
	if limit := g.Inspect(t, "{{.HostConfig.NanoCpus}}"); limit != "250000000" {
		t.Errorf("the node may use %s of a core", limit)
	}
}
