package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/fault"
)

// errInterrupted is the cause of a context that Ctrl-C ended.
var errInterrupted = errors.New("interrupted")

// sameSignal is how soon after another a signal is the same one: who ends a
// process and its group by one, as timeout does, sends it twice.
const sameSignal = 50 * time.Millisecond

// signals are those that end this process, unless a command takes them for the
// process it shows.
type signals struct {
	mu    sync.Mutex
	taker func(os.Signal)
}

// take has signals passed to taker until giveBack is called.
func (s *signals) take(taker func(os.Signal)) (giveBack func()) {
	if s == nil {
		return func() {}
	}
	set := func(taker func(os.Signal)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taker = taker
	}
	set(taker)
	return func() { set(nil) }
}

func (s *signals) passOn(sig os.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taker == nil {
		return false
	}
	s.taker(sig)
	return true
}

// interruptible returns a context that the first Ctrl-C or SIGTERM that nobody
// takes cancels. A second one ends the process at once.
func interruptible(parent context.Context) (ctx context.Context, s *signals, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	s = &signals{}
	incoming := make(chan os.Signal, 2)
	signal.Notify(incoming, os.Interrupt, syscall.SIGTERM)
	go func() {
		var last time.Time
		for sig := range incoming {
			now := time.Now()
			if now.Sub(last) < sameSignal {
				continue
			}
			last = now
			if s.passOn(sig) {
				continue
			}
			if ctx.Err() != nil {
				os.Exit(int(fault.ExitInterrupted))
			}
			cancel(errInterrupted)
		}
	}()
	return ctx, s, func() {
		signal.Stop(incoming)
		cancel(nil)
	}
}
