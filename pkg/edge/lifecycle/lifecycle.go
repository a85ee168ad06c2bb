// Package lifecycle is the state of a gateway: in the pool, allocated, or on its
// way back.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/project"
)

var (
	// ErrStandAlone refuses an allocation.
	ErrStandAlone = errors.New("no control plane is configured")
	// ErrAllocated refuses a second one.
	ErrAllocated = errors.New("the gateway is not free")
	// ErrOther refuses an allocation that is not for this gateway and epoch.
	ErrOther = errors.New("this is for another gateway or epoch")
)

// Machine is the state of a gateway. It is safe for concurrent use.
type Machine struct {
	standAlone bool
	inactivity time.Duration // zero: no limit
	save       func(project.Config) error

	mu      sync.Mutex
	state   string
	project project.Config
	used    time.Time // monotonic
	changed chan struct{}
}

// New makes the state of a gateway that resumes config. save keeps a
// configuration before it holds.
func New(config project.Config, standAlone bool, inactivity time.Duration, save func(project.Config) error) *Machine {
	m := &Machine{standAlone: standAlone, inactivity: inactivity, save: save, state: edgeapi.StateStarting, project: config,
		used: time.Now(), changed: make(chan struct{})}
	if standAlone || config.Organization != "" {
		m.state = edgeapi.StateActive
	}
	return m
}

// State answers what the gateway is doing and for whom.
func (m *Machine) State() (string, project.Config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.project
}

// Idle answers how long nobody has used the gateway, and how long it has until
// its reset, if it is to be reset.
func (m *Machine) Idle() (idle, left time.Duration, counting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	idle = time.Since(m.used)
	return idle, max(m.inactivity-idle, 0), m.counting()
}

func (m *Machine) counting() bool {
	return !m.standAlone && m.inactivity > 0 && m.state == edgeapi.StateActive
}

// Use takes a sign that somebody uses the gateway.
func (m *Machine) Use() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = time.Now()
}

// Announced says that the control plane knows of the gateway.
func (m *Machine) Announced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == edgeapi.StateStarting { // else it is allocated already
		m.to(edgeapi.StateReady)
	}
}

// Allocate gives the gateway to an organization, once in an epoch.
func (m *Machine) Allocate(wanted project.Config) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.standAlone:
		return ErrStandAlone
	case wanted.GatewayID != m.project.GatewayID || wanted.Epoch != m.project.Epoch:
		return ErrOther
	case m.state != edgeapi.StateStarting && m.state != edgeapi.StateReady:
		return ErrAllocated
	}
	// It is kept first: what was promised to the control plane survives a crash.
	if err := m.save(wanted); err != nil {
		return fmt.Errorf("keep the allocation: %w", err)
	}
	m.project, m.used = wanted, time.Now()
	m.to(edgeapi.StateActive)
	return nil
}

// NextVersion answers the version that the next data has.
func (m *Machine) NextVersion() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.project.Version + 1
}

// Pushed says that data of a version is on its way.
func (m *Machine) Pushed(version int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.project.Version = version
	return m.save(m.project)
}

// Drain ends the allocation. It answers false if there is none to end.
func (m *Machine) Drain() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != edgeapi.StateActive {
		return false
	}
	m.to(edgeapi.StateDraining)
	return true
}

// Reset says that the gateway is about to be reset.
func (m *Machine) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to(edgeapi.StateResetting)
}

// AwaitIdle waits until nobody has used an active gateway for as long as it may,
// and has begun to drain it then. Without a limit it waits for the end of ctx.
func (m *Machine) AwaitIdle(ctx context.Context) error {
	for {
		m.mu.Lock()
		changed, counting, left := m.changed, m.counting(), m.inactivity-time.Since(m.used)
		if counting && left <= 0 {
			m.to(edgeapi.StateDraining)
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		if err := wait(ctx, changed, counting, left); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, changed <-chan struct{}, timed bool, left time.Duration) error {
	var expired <-chan time.Time
	if timed {
		timer := time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-expired:
	}
	return nil
}

// to needs the lock.
func (m *Machine) to(state string) {
	m.state = state
	close(m.changed)
	m.changed = make(chan struct{})
}
