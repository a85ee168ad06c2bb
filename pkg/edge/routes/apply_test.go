package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"openshell.ai/openshell/pkg/edge"
)

// fakeNginx takes sets, refuses the next ones when told to, and knows whether
// calls overlapped.
type fakeNginx struct {
	takes      time.Duration
	refuse     int
	calls      int
	running    bool
	overlapped bool
	set        string
}

func (f *fakeNginx) run(_ context.Context, input string) error {
	f.overlapped = f.overlapped || f.running
	f.running = true
	f.calls++
	time.Sleep(f.takes) // of the bubble's clock
	f.running = false
	if f.refuse > 0 {
		f.refuse--
		return errors.New("refused")
	}
	f.set = input
	return nil
}

func (f *fakeNginx) stamp() any { return f.set }

func services(n int) []edge.Service {
	return []edge.Service{{Host: fmt.Sprintf("web-%d", n), IP: netip.MustParseAddr("172.16.1.2"), Port: 80}}
}

// step is one set, and what goes with it.
type step struct {
	set    int
	refuse bool
	pause  time.Duration
}

func TestApplierLastSetWins(t *testing.T) {
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			rapid.IntRange(0, 3).Draw(t, "set"), rapid.IntRange(0, 4).Draw(t, "refuse") == 0,
			time.Duration(rapid.IntRange(0, 400).Draw(t, "pause")) * time.Millisecond,
		}
	}), 1, 30)
	rapid.Check(t, func(r *rapid.T) {
		plan, takes := steps.Draw(r, "steps"), time.Duration(rapid.IntRange(0, 300).Draw(r, "takes"))*time.Millisecond
		synctest.Test(t, func(t *testing.T) { playSets(t, plan, takes) })
	})
}

func playSets(t *testing.T, plan []step, takes time.Duration) {
	nginx := &fakeNginx{takes: takes}
	a := NewApplier(nginx.run, nginx.stamp, slog.New(slog.DiscardHandler))
	go a.Loop(t.Context())
	refusals := 0
	for _, s := range plan {
		if s.refuse {
			nginx.refuse++
			refusals++
		}
		a.Set(services(s.set))
		time.Sleep(s.pause)
		synctest.Wait()
	}
	time.Sleep(10 * time.Minute)
	if want := fmt.Sprintf("web-%d 172.16.1.2 80\n", plan[len(plan)-1].set); nginx.set != want {
		t.Errorf("nginx has %q, want %q", nginx.set, want)
	}
	if nginx.overlapped {
		t.Error("two calls ran at once")
	}
	if nginx.calls > len(plan)+refusals {
		t.Errorf("%d calls for %d sets, of which %d calls were refused", nginx.calls, len(plan), refusals)
	}
	if err := a.Problem(); err != nil {
		t.Errorf("problem %v is left", err)
	}
}

func TestApplierCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{takes: time.Second}
		a := NewApplier(nginx.run, nginx.stamp, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		for n := range 1000 {
			a.Set(services(n))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		if nginx.calls > 2 || !strings.HasPrefix(nginx.set, "web-999 ") {
			t.Errorf("%d calls, last %q, want one that ran and one that was pending", nginx.calls, nginx.set)
		}
	})
}

func TestApplierAppliesTheFirstSetEvenIfEmptyAndNoSetTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{set: "of the process before"}
		a := NewApplier(nginx.run, nginx.stamp, slog.New(slog.DiscardHandler))
		for range 5 {
			a.Set(nil)
		}
		go a.Loop(t.Context())
		<-a.Applied()
		a.Set(nil)
		synctest.Wait()
		if nginx.calls != 1 || nginx.set != "" {
			t.Errorf("%d calls, set %q, want one call with an empty set", nginx.calls, nginx.set)
		}
	})
}

func TestApplierRepairsWhatOthersReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{}
		a := NewApplier(nginx.run, nginx.stamp, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		a.Set(services(1))
		synctest.Wait()
		a.Check()
		synctest.Wait()
		if nginx.calls != 1 {
			t.Errorf("%d calls, though nothing was replaced", nginx.calls)
		}
		set := nginx.set
		nginx.set = "" // as reset-nginx does
		a.Check()
		synctest.Wait()
		if nginx.set != set || nginx.calls != 2 {
			t.Errorf("nginx has %q after %d calls, want %q", nginx.set, nginx.calls, set)
		}
	})
}

func TestApplierBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{refuse: 1 << 30}
		a := NewApplier(nginx.run, nginx.stamp, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		a.Set(services(1))
		time.Sleep(time.Minute)
		if nginx.calls < 10 || nginx.calls > 20 {
			t.Errorf("%d calls in a minute", nginx.calls)
		}
		if a.Problem() == nil {
			t.Error("nothing says that routes are refused")
		}
		calls := nginx.calls
		for n := range 1000 { // a flood does not make scripts run faster
			a.Set(services(n))
			time.Sleep(time.Millisecond)
		}
		if more := nginx.calls - calls; more > 11 {
			t.Errorf("%d calls in a second of changes", more)
		}
		nginx.refuse = 0
		time.Sleep(10 * time.Second)
		if !strings.HasPrefix(nginx.set, "web-999 ") || a.Problem() != nil {
			t.Errorf("nginx has %q, problem %v", nginx.set, a.Problem())
		}
	})
}
