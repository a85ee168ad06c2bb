// Package status holds what the node reports about itself and serves it on a
// unix socket.
package status

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

// State collects milestones, components and a failure. It is safe for
// concurrent use.
type State struct {
	mu      sync.Mutex
	status  nodeapi.Status
	changed chan struct{} // closed and replaced at every change
	now     func() time.Time
}

// New returns the state of a boot that begins now.
func New(version, kubernetes string, now func() time.Time) *State {
	return &State{
		status: nodeapi.Status{
			Phase: nodeapi.Booting, Version: version, Kubernetes: kubernetes, BootedAt: now(),
			Milestones: []nodeapi.Reached{}, Components: []nodeapi.Component{}, Checks: []nodeapi.Check{},
		},
		changed: make(chan struct{}),
		now:     now,
	}
}

// Snapshot is a copy of the present status, and a channel that is closed at
// the next change.
func (s *State) Snapshot() (nodeapi.Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	out.Now = s.now()
	out.Milestones = slices.Clone(out.Milestones)
	out.Components = slices.Clone(out.Components)
	out.Checks = slices.Clone(out.Checks)
	return out, s.changed
}

// Reach records a milestone once a boot.
func (s *State) Reach(m nodeapi.Milestone) {
	s.change(func(st *nodeapi.Status) bool {
		if st.Has(m) {
			return false
		}
		after := s.now().Sub(st.BootedAt).Milliseconds()
		st.Milestones = append(st.Milestones, nodeapi.Reached{Name: m, AfterMS: after})
		slog.Info("milestone", "name", m, "after_ms", after)
		return true
	})
}

// Component records the state of a process.
func (s *State) Component(c nodeapi.Component) {
	s.change(func(st *nodeapi.Status) bool {
		for i := range st.Components {
			if st.Components[i].Name == c.Name {
				st.Components[i] = c
				return true
			}
		}
		st.Components = append(st.Components, c)
		return true
	})
}

// Report takes a line a process wrote: {"milestone": …} or {"failure": …}.
func (s *State) Report(component string, line []byte) {
	var report struct {
		Milestone nodeapi.Milestone `json:"milestone"`
		Failure   *nodeapi.Failure  `json:"failure"`
	}
	if err := json.Unmarshal(line, &report); err != nil {
		slog.Warn("a report cannot be read", "component", component, "error", err)
		return
	}
	if report.Milestone != "" {
		s.Reach(report.Milestone)
	}
	if report.Failure != nil {
		s.Fail(*report.Failure)
	}
}

// Fail records why the node cannot go on. The first reason stays.
func (s *State) Fail(f nodeapi.Failure) {
	s.change(func(st *nodeapi.Status) bool {
		if st.Failure != nil {
			return false
		}
		st.Failure, st.Phase = &f, nodeapi.Failed
		slog.Error("the node cannot go on", "id", f.ID, "reason", f.Message)
		return true
	})
}

// Checked records the results of the health checks, which decide the phase.
func (s *State) Checked(checks []nodeapi.Check) {
	s.change(func(st *nodeapi.Status) bool {
		phase := phaseOf(*st, checks)
		if slices.Equal(st.Checks, checks) && st.Phase == phase {
			return false
		}
		if phase == nodeapi.Serving {
			st.Failure = nil // what failed was tried again, and went well
		}
		st.Checks, st.Phase = checks, phase
		return true
	})
}

// Edge records how the edge is. It has no part in the phase.
func (s *State) Edge(e nodeapi.Edge) {
	s.change(func(st *nodeapi.Status) bool {
		if st.Phase == nodeapi.Stopping || st.Edge != nil && *st.Edge == e {
			return false
		}
		if st.Edge == nil || st.Edge.State != e.State {
			slog.Info("edge", "state", e.State, "reason", e.Message)
		}
		st.Edge = &e
		return true
	})
}

// Stopping marks the beginning of the end.
func (s *State) Stopping() {
	s.change(func(st *nodeapi.Status) bool {
		st.Phase = nodeapi.Stopping
		if st.Edge != nil {
			st.Edge = &nodeapi.Edge{State: nodeapi.EdgeOff, Message: "the node is stopping", Since: s.now()}
		}
		return true
	})
}

func phaseOf(st nodeapi.Status, checks []nodeapi.Check) nodeapi.Phase {
	failing := slices.ContainsFunc(checks, func(c nodeapi.Check) bool { return !c.OK })
	switch {
	case st.Phase == nodeapi.Stopping:
		return nodeapi.Stopping
	case !failing:
		return nodeapi.Serving
	case st.Failure != nil:
		return nodeapi.Failed
	case st.Has(nodeapi.Endpoint) && st.Has(nodeapi.Workload):
		return nodeapi.Degraded
	}
	return nodeapi.Booting
}

func (s *State) change(apply func(*nodeapi.Status) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if apply(&s.status) {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}
