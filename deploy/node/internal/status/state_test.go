package status_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/deploy/node/internal/status"
	"openshell.ai/openshell/pkg/nodeapi"
)

// clock advances by a second at every look.
func clock() func() time.Time {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	return func() time.Time { now = now.Add(time.Second); return now }
}

func TestMilestonesComeOnce(t *testing.T) {
	s := status.New("1.0.0", "v1.36.3", clock())
	s.Report("control-plane", []byte(`{"milestone":"etcd"}`))
	s.Report("control-plane", []byte(`{"milestone":"etcd"}`))
	s.Report("control-plane", []byte(`not json`))
	got, _ := s.Snapshot()
	if diff := cmp.Diff([]nodeapi.Reached{{Name: nodeapi.Etcd, AfterMS: 1000}}, got.Milestones); diff != "" {
		t.Error(diff)
	}
}

func TestPhases(t *testing.T) {
	ok := []nodeapi.Check{{ID: "api", OK: true}}
	bad := []nodeapi.Check{{ID: "api", Message: "down"}}
	for name, test := range map[string]struct {
		do   func(*status.State)
		want nodeapi.Phase
	}{
		"at first":                     {func(*status.State) {}, nodeapi.Booting},
		"a check fails while booting":  {func(s *status.State) { s.Checked(bad) }, nodeapi.Booting},
		"every check passes":           {func(s *status.State) { s.Checked(ok) }, nodeapi.Serving},
		"its pod is not ready yet":     {func(s *status.State) { s.Reach(nodeapi.Endpoint); s.Checked(bad) }, nodeapi.Booting},
		"a check fails after the boot": {func(s *status.State) { s.Reach(nodeapi.Endpoint); s.Reach(nodeapi.Workload); s.Checked(bad) }, nodeapi.Degraded},
		"stopping is for good":         {func(s *status.State) { s.Stopping(); s.Checked(ok) }, nodeapi.Stopping},
		"a failure stays while a check fails": {func(s *status.State) {
			s.Report("control-plane", []byte(`{"failure":{"id":"state-unreadable","message":"torn"}}`))
			s.Checked(bad)
		}, nodeapi.Failed},
		"a failure is over when every check passes": {func(s *status.State) {
			s.Report("control-plane", []byte(`{"failure":{"id":"disk-full","message":"full"}}`))
			s.Checked(ok)
		}, nodeapi.Serving},
	} {
		t.Run(name, func(t *testing.T) {
			s := status.New("1.0.0", "v1.36.3", clock())
			test.do(s)
			if got, _ := s.Snapshot(); got.Phase != test.want {
				t.Errorf("phase = %s, want %s", got.Phase, test.want)
			}
		})
	}
}

func TestFirstFailureStays(t *testing.T) {
	s := status.New("1.0.0", "v1.36.3", clock())
	s.Fail(nodeapi.Failure{ID: nodeapi.FailureDiskFull, Message: "first"})
	s.Fail(nodeapi.Failure{ID: nodeapi.FailureHost, Message: "second"})
	got, _ := s.Snapshot()
	if diff := cmp.Diff(&nodeapi.Failure{ID: nodeapi.FailureDiskFull, Message: "first"}, got.Failure); diff != "" {
		t.Error(diff)
	}
}

func TestChangeWakesWatchers(t *testing.T) {
	s := status.New("1.0.0", "v1.36.3", clock())
	_, changed := s.Snapshot()
	s.Component(nodeapi.Component{Name: "containerd", State: "ready"})
	select {
	case <-changed:
	default:
		t.Error("a changed component was not announced")
	}
	checks := []nodeapi.Check{{ID: "api", OK: true}}
	s.Checked(checks)
	_, changed = s.Snapshot()
	s.Checked(checks)
	select {
	case <-changed:
		t.Error("the same checks again were announced as a change")
	default:
	}
}

// The edge has no part in the phase, and is off while the node stops.
func TestEdgeIsBesideThePhase(t *testing.T) {
	s := status.New("1.0.0", "v1.36.3", clock())
	s.Checked([]nodeapi.Check{{ID: "api", OK: true}})
	failed := nodeapi.Edge{State: nodeapi.EdgeFailed, Message: "nginx is not running"}
	s.Edge(failed)
	got, changed := s.Snapshot()
	if diff := cmp.Diff(&failed, got.Edge); diff != "" || got.Phase != nodeapi.Serving {
		t.Errorf("phase %s: %s", got.Phase, diff)
	}
	s.Edge(failed)
	select {
	case <-changed:
		t.Error("the same again was announced as a change")
	default:
	}
	s.Stopping()
	s.Edge(nodeapi.Edge{State: nodeapi.EdgeReady})
	if got, _ := s.Snapshot(); got.Edge.State != nodeapi.EdgeOff {
		t.Errorf("edge of a node that stops: %s", got.Edge.State)
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"milestone":"etcd"}`))
	f.Add([]byte(`{"failure":{"id":"x"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		status.New("1.0.0", "v1.36.3", clock()).Report("any", line)
	})
}
