//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
)

// After a node was killed its controllers would wait for the lease of the ones
// before them to end, and until then lead no service to its pod: there is no such
// lease, and the endpoint follows its pod at once, at every restart.
func TestPitfall29EndpointFollowsItsPodAtOnce(t *testing.T) {
	t.Parallel()
	const restarts, patience = 10, 5 * time.Second
	g := started(t, "lease")
	for n := 1; n <= restarts; n++ {
		docker(t, "kill", g.Resource())
		g.Start(t)
		var status bootstrap.Status
		// The readiness of the pod, which traffic does not wait for, is seen later.
		eventually(t, time.Minute, "healthy, and its pod is ready", func() bool {
			status, _ = g.Status(t)
			return status.Healthy && status.Node != nil && status.Node.Has(nodeapi.Workload) && status.Node.Has(nodeapi.Endpoint)
		})
		pod, endpoint := reached(t, *status.Node, nodeapi.Workload), reached(t, *status.Node, nodeapi.Endpoint)
		t.Logf("restart %d: pod %s, endpoint %s", n, pod, endpoint)
		if endpoint > pod+patience {
			t.Errorf("restart %d: the endpoint answered %s after its pod ran", n, endpoint-pod)
		}
		for _, lease := range strings.Fields(g.Kubectl(t, "get", "leases", "--all-namespaces", "-o", "jsonpath={.items[*].metadata.name}")) {
			if lease == "kube-controller-manager" || lease == "kube-scheduler" {
				t.Errorf("restart %d: %s elects a leader", n, lease)
			}
		}
	}
}

// reached is how long after the boot the node reached a milestone.
func reached(t *testing.T, node nodeapi.Status, milestone nodeapi.Milestone) time.Duration {
	t.Helper()
	for _, m := range node.Milestones {
		if m.Name == milestone {
			return time.Duration(m.AfterMS) * time.Millisecond
		}
	}
	t.Fatalf("milestone %s is missing", milestone)
	return 0
}
