package lifecycle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/project"
)

var free = project.Config{GatewayID: "g1", Epoch: 7}

func allocation() project.Config {
	return project.Config{GatewayID: "g1", Epoch: 7, Organization: "acme", Version: 3}
}

func keep(project.Config) error { return nil }

func wantState(t *testing.T, m *Machine, want string) {
	t.Helper()
	if got, _ := m.State(); got != want {
		t.Errorf("state is %s, want %s", got, want)
	}
}

func TestAllocationIsOneTimeAndBound(t *testing.T) {
	var saved []project.Config
	m := New(free, false, 0, func(c project.Config) error { saved = append(saved, c); return nil })
	wantState(t, m, edgeapi.StateStarting)
	m.Announced()
	wantState(t, m, edgeapi.StateReady)
	for what, change := range map[string]func(*project.Config){
		"other gateway": func(c *project.Config) { c.GatewayID = "g2" },
		"old epoch":     func(c *project.Config) { c.Epoch-- },
		"later epoch":   func(c *project.Config) { c.Epoch++ },
	} {
		other := allocation()
		change(&other)
		if err := m.Allocate(other); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := m.Allocate(allocation()); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, edgeapi.StateActive)
	if err := m.Allocate(allocation()); !errors.Is(err, ErrAllocated) {
		t.Errorf("replayed: %v", err)
	}
	m.Announced() // the answer to an announcement may come late
	wantState(t, m, edgeapi.StateActive)
	// What resumes from the file is allocated, and knows the version of its data.
	if err := m.Pushed(m.NextVersion()); err != nil {
		t.Fatal(err)
	}
	last := saved[len(saved)-1]
	want := allocation()
	want.Version = 4
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
	resumed := New(last, false, 0, keep)
	wantState(t, resumed, edgeapi.StateActive)
	if err := resumed.Allocate(last); !errors.Is(err, ErrAllocated) {
		t.Errorf("replayed after a restart: %v", err)
	}
}

func TestAllocationThatCannotBeKeptIsRefused(t *testing.T) {
	m := New(free, false, 0, func(project.Config) error { return errors.New("disk full") })
	if err := m.Allocate(allocation()); err == nil {
		t.Error("allocated")
	}
	wantState(t, m, edgeapi.StateStarting)
}

func TestStandAloneIsActiveForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(free, true, 5*time.Minute, keep)
		wantState(t, m, edgeapi.StateActive)
		if err := m.Allocate(allocation()); !errors.Is(err, ErrStandAlone) {
			t.Errorf("allocated: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		if err := m.AwaitIdle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("became idle: %v", err)
		}
		if _, _, counting := m.Idle(); counting {
			t.Error("counts down")
		}
	})
}

func TestInactivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(free, false, 5*time.Minute, keep)
		drained := make(chan time.Time, 1)
		go func() {
			if m.AwaitIdle(t.Context()) == nil {
				drained <- time.Now()
			}
		}()
		time.Sleep(time.Hour) // in the pool, nothing counts
		m.Announced()
		time.Sleep(time.Hour)
		if err := m.Allocate(allocation()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			time.Sleep(4*time.Minute + 59*time.Second)
			m.Use()
		}
		last := time.Now()
		time.Sleep(2 * time.Minute)
		if idle, left, counting := m.Idle(); idle != 2*time.Minute || left != 3*time.Minute || !counting {
			t.Errorf("idle %s, left %s, counting %t", idle, left, counting)
		}
		wantState(t, m, edgeapi.StateActive)
		if after := (<-drained).Sub(last); after != 5*time.Minute {
			t.Errorf("drained after %s", after)
		}
		wantState(t, m, edgeapi.StateDraining)
		if m.Drain() {
			t.Error("drained twice")
		}
		m.Reset()
		wantState(t, m, edgeapi.StateResetting)
	})
}

func TestInactivityCanBeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(allocation(), false, 0, keep)
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		if err := m.AwaitIdle(ctx); err == nil {
			t.Error("became idle")
		}
	})
}

func TestStartTokens(t *testing.T) {
	key := Key("0123456789abcdef0123456789abcdef")
	token := key.Token(allocation())
	if err := key.Verify(token, allocation()); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*project.Config){
		"gateway":      func(c *project.Config) { c.GatewayID = "g2" },
		"epoch":        func(c *project.Config) { c.Epoch++ },
		"organization": func(c *project.Config) { c.Organization = "evil" },
		"version":      func(c *project.Config) { c.Version++ },
		"fields":       func(c *project.Config) { c.Organization = "acme\"\n4\n\"" },
	} {
		other := allocation()
		change(&other)
		if err := key.Verify(token, other); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := key.Verify("", allocation()); err == nil {
		t.Error("an empty token counts")
	}
	short := Key("short")
	if err := short.Verify(short.Token(allocation()), allocation()); err == nil {
		t.Error("a short key counts")
	}
}
