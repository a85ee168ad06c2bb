package node

import (
	"testing"
	"time"

	"openshell.ai/openshell/deploy/node/internal/status"
	"openshell.ai/openshell/pkg/nodeapi"
)

// A control plane that crashes on its data will not get better; one that is
// killed or short of something may.
func TestPitfall27CrashOnDataIsAVerdict(t *testing.T) {
	cases := map[string]struct {
		etcd     bool // it had served
		restarts int
		lastExit string
		want     bool
	}{
		"panic":              {false, 3, "exit code 2: panic: page 3 already freed", true},
		"fault":              {false, 3, "exit code 2: fatal error: fault", true},
		"too early to say":   {false, 2, "exit code 2: panic: page 3 already freed", false},
		"after it served":    {true, 9, "exit code 2: panic: page 3 already freed", false},
		"an error":           {false, 9, "exit code 1: error: etcd: not ready after a minute", false},
		"killed":             {false, 9, "signal killed", false},
		"short of memory":    {false, 9, "exit code 2: fatal error: runtime: out of memory", false},
		"short of processes": {false, 9, "exit code 2: fatal error: newosproc", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			state := status.New("1", "1", time.Now)
			if c.etcd {
				state.Reach(nodeapi.Etcd)
			}
			observer{state}.Component(nodeapi.Component{Name: controlPlane, State: "backoff", Restarts: c.restarts, LastExit: c.lastExit})
			st, _ := state.Snapshot()
			if got := st.Failure != nil && st.Failure.ID == nodeapi.FailureStateUnreadable; got != c.want {
				t.Errorf("failure %+v, want one: %t", st.Failure, c.want)
			}
		})
	}
}
