package routes

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/edge"
)

const (
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// ApplyPause bounds how often containers that change their mind reload nginx.
const ApplyPause = 250 * time.Millisecond

// Applier gives full sets to nginx: one call at a time, the newest set next, a
// refused one again.
type Applier struct {
	run   func(ctx context.Context, input string) error
	stamp func() any
	pause time.Duration
	log   *slog.Logger

	wake    chan struct{}
	first   chan struct{} // closed when nginx has a set of this process
	mu      sync.Mutex
	wanted  *string
	problem error
}

// NewApplier makes an applier whose sets are run, as lines of "host ip port".
// stamp changes with what run makes, whoever changes it. A set that was taken
// has nginx for itself for the time of pause.
func NewApplier(run func(ctx context.Context, input string) error, stamp func() any, pause time.Duration, log *slog.Logger) *Applier {
	return &Applier{run: run, stamp: stamp, pause: pause, log: log, wake: make(chan struct{}, 1), first: make(chan struct{})}
}

// Set asks for a full set.
func (a *Applier) Set(services []edge.Service) {
	var lines strings.Builder
	for _, s := range services {
		fmt.Fprintf(&lines, "%s %s %d\n", s.Host, s.IP, s.Port)
	}
	input := lines.String()
	a.mu.Lock()
	a.wanted = &input
	a.mu.Unlock()
	a.Check()
}

// Check applies the set again if somebody else replaced what it made.
func (a *Applier) Check() {
	select {
	case a.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Applied is closed when the first set has been taken.
func (a *Applier) Applied() <-chan struct{} { return a.first }

// Problem is why nginx does not have the newest set, if it was refused.
func (a *Applier) Problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.problem
}

// Loop applies until ctx ends. A call that runs then is awaited: an update cut
// off in the middle helps nobody.
func (a *Applier) Loop(ctx context.Context) {
	var applied *string
	var made any
	retry := minRetry
	timer := time.NewTimer(retry)
	timer.Stop()
	defer timer.Stop()
	refused, hurried := false, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			if refused {
				// Another set may be taken where this one was not, but scripts do not
				// run faster than that.
				if !hurried {
					hurried, retry = true, minRetry
					timer.Reset(minRetry)
				}
				continue
			}
		case <-timer.C:
		}
		a.mu.Lock()
		wanted := a.wanted
		a.mu.Unlock()
		refused, hurried = false, false
		if wanted == nil || applied != nil && *applied == *wanted && a.stamp() == made {
			a.settle(nil)
			continue
		}
		began := time.Now()
		err := a.run(context.WithoutCancel(ctx), *wanted)
		a.settle(err)
		if err != nil {
			a.log.Warn("nginx did not take the routes", "error", err, "retry", retry.String())
			refused = true
			timer.Reset(retry)
			retry = min(2*retry, maxRetry)
			continue
		}
		a.log.Info("routes applied", "services", strings.Count(*wanted, "\n"), "took", time.Since(began).Round(time.Millisecond).String())
		if applied == nil {
			close(a.first)
		}
		applied, made, retry = wanted, a.stamp(), minRetry
		// What is asked for meanwhile is awake in the channel.
		select {
		case <-ctx.Done():
			return
		case <-time.After(a.pause):
		}
	}
}

func (a *Applier) settle(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.problem = err
}
