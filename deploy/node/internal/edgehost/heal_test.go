package edgehost

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/nodeapi"
)

func TestAFailedEdgeIsStartedAgainThreeTimes(t *testing.T) {
	clock, began := noon, noon
	var restarts []time.Duration
	h := NewHealer(func() { restarts = append(restarts, clock.Sub(began)) })
	h.now = func() time.Time { return clock }
	look := func(state nodeapi.EdgeState, span time.Duration) {
		for end := clock.Add(span); clock.Before(end); clock = clock.Add(time.Second) {
			h.See(nodeapi.Edge{State: state})
		}
	}
	look(nodeapi.EdgeStarting, time.Hour)
	if len(restarts) > 0 {
		t.Fatalf("an edge that starts is started again after %v", restarts)
	}
	began = clock
	look(nodeapi.EdgeFailed, 24*time.Hour)
	// 10 s, and then 20 and 40 s after the first look that finds it failed again;
	// what that does not repair keeps its connections.
	if diff := cmp.Diff([]time.Duration{10 * time.Second, 31 * time.Second, 72 * time.Second}, restarts); diff != "" {
		t.Errorf("restarts (-want +got):\n%s", diff)
	}
	look(nodeapi.EdgeReady, time.Second)
	restarts, began = nil, clock
	look(nodeapi.EdgeFailed, 15*time.Second)
	if diff := cmp.Diff([]time.Duration{10 * time.Second}, restarts); diff != "" {
		t.Errorf("restarts after it was ready (-want +got):\n%s", diff)
	} // Somebody works on it.
	look(nodeapi.EdgeReady, time.Second)
	restarts, began = nil, clock
	look(nodeapi.EdgeFailed, 9*time.Second)
	look(nodeapi.EdgeStarting, time.Second)
	look(nodeapi.EdgeFailed, 9*time.Second)
	if len(restarts) > 0 {
		t.Errorf("an edge that was starting meanwhile is started again after %v", restarts)
	}
}
