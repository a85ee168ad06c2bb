package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"openshell.ai/openshell/pkg/edge"
)

// fakeNginx takes sets, refuses the next ones when told to, and knows whether
// calls overlapped.
type fakeNginx struct {
	takes time.Duration

	sync.Mutex
	refuse     int
	calls      int
	running    bool
	overlapped bool
	set        string
}

func (f *fakeNginx) run(_ context.Context, input string) error {
	f.Lock()
	f.overlapped = f.overlapped || f.running
	f.running = true
	f.calls++
	f.Unlock()
	time.Sleep(f.takes) // of the bubble's clock
	f.Lock()
	defer f.Unlock()
	f.running = false
	if f.refuse > 0 {
		f.refuse--
		return errors.New("refused")
	}
	f.set = input
	return nil
}

// has waits for what runs and answers what nginx has, and after how many calls.
func (f *fakeNginx) has() (set string, calls int) {
	synctest.Wait()
	f.Lock()
	defer f.Unlock()
	return f.set, f.calls
}

// change changes what nginx has or does next.
func (f *fakeNginx) change(how func(*fakeNginx)) {
	f.Lock()
	defer f.Unlock()
	how(f)
}

func (f *fakeNginx) stamp() any {
	f.Lock()
	defer f.Unlock()
	return f.set
}

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
		pause := time.Duration(rapid.IntRange(0, 300).Draw(r, "rest")) * time.Millisecond
		synctest.Test(t, func(t *testing.T) { playSets(t, plan, takes, pause) })
	})
}

func playSets(t *testing.T, plan []step, takes, pause time.Duration) {
	nginx := &fakeNginx{takes: takes}
	a := NewApplier(nginx.run, nginx.stamp, pause, slog.New(slog.DiscardHandler))
	go a.Loop(t.Context())
	refusals := 0
	for _, s := range plan {
		if s.refuse {
			nginx.change(func(f *fakeNginx) { f.refuse++ })
			refusals++
		}
		a.Set(services(s.set))
		time.Sleep(s.pause)
		synctest.Wait()
	}
	time.Sleep(10 * time.Minute)
	set, calls := nginx.has()
	if want := fmt.Sprintf("web-%d 172.16.1.2 80\n", plan[len(plan)-1].set); set != want {
		t.Errorf("nginx has %q, want %q", set, want)
	}
	if nginx.overlapped {
		t.Error("two calls ran at once")
	}
	if calls > len(plan)+refusals {
		t.Errorf("%d calls for %d sets, of which %d calls were refused", calls, len(plan), refusals)
	}
	if err := a.Problem(); err != nil {
		t.Errorf("problem %v is left", err)
	}
}

func TestApplierCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{takes: time.Second}
		a := NewApplier(nginx.run, nginx.stamp, ApplyPause, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		for n := range 1000 {
			a.Set(services(n))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		if set, calls := nginx.has(); calls > 2 || !strings.HasPrefix(set, "web-999 ") {
			t.Errorf("%d calls, last %q, want one that ran and one that was pending", calls, set)
		}
	})
}

// A container that says another port with each event does not have nginx reload
// as fast as it talks, and what it says last counts soon.
func TestApplierPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{}
		a := NewApplier(nginx.run, nginx.stamp, ApplyPause, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		a.Set(services(1))
		if _, calls := nginx.has(); calls != 1 {
			t.Errorf("%d calls, want the first set at once", calls)
		}
		for n := range 1000 {
			a.Set(services(n % 2))
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if _, calls := nginx.has(); calls < 2 || calls > 5 {
			t.Errorf("%d calls in a second of changes", calls)
		}
		a.Set(services(7))
		time.Sleep(ApplyPause)
		set, calls := nginx.has()
		if !strings.HasPrefix(set, "web-7 ") {
			t.Errorf("nginx has %q, want the last set", set)
		}
		time.Sleep(time.Minute)
		if _, now := nginx.has(); now != calls {
			t.Errorf("%d calls of nobody", now-calls)
		}
	})
}

func TestApplierAppliesTheFirstSetEvenIfEmptyAndNoSetTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{set: "of the process before"}
		a := NewApplier(nginx.run, nginx.stamp, ApplyPause, slog.New(slog.DiscardHandler))
		for range 5 {
			a.Set(nil)
		}
		go a.Loop(t.Context())
		<-a.Applied()
		a.Set(nil)
		if set, calls := nginx.has(); calls != 1 || set != "" {
			t.Errorf("%d calls, set %q, want one call with an empty set", calls, set)
		}
	})
}

func TestApplierRepairsWhatOthersReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{}
		a := NewApplier(nginx.run, nginx.stamp, ApplyPause, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		a.Set(services(1))
		set, _ := nginx.has()
		time.Sleep(ApplyPause)
		a.Check()
		if _, calls := nginx.has(); calls != 1 {
			t.Errorf("%d calls, though nothing was replaced", calls)
		}
		time.Sleep(ApplyPause)
		nginx.change(func(f *fakeNginx) { f.set = "" }) // as reset-nginx does
		a.Check()
		if got, calls := nginx.has(); got != set || calls != 2 {
			t.Errorf("nginx has %q after %d calls, want %q", got, calls, set)
		}
	})
}

func TestApplierBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nginx := &fakeNginx{refuse: 1 << 30}
		a := NewApplier(nginx.run, nginx.stamp, ApplyPause, slog.New(slog.DiscardHandler))
		go a.Loop(t.Context())
		a.Set(services(1))
		time.Sleep(time.Minute)
		_, calls := nginx.has()
		if calls < 10 || calls > 20 {
			t.Errorf("%d calls in a minute", calls)
		}
		if a.Problem() == nil {
			t.Error("nothing says that routes are refused")
		}
		for n := range 1000 { // a flood does not make scripts run faster
			a.Set(services(n))
			time.Sleep(time.Millisecond)
		}
		if _, now := nginx.has(); now-calls > 11 {
			t.Errorf("%d calls in a second of changes", now-calls)
		}
		nginx.change(func(f *fakeNginx) { f.refuse = 0 })
		time.Sleep(10 * time.Second)
		if set, _ := nginx.has(); !strings.HasPrefix(set, "web-999 ") || a.Problem() != nil {
			t.Errorf("nginx has %q, problem %v", set, a.Problem())
		}
	})
}
