package bootstrap

import (
	"context"
	"fmt"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	idleLimit   = 2 * time.Minute // without --idle-timeout
	idleFactor  = 4               // times the longest pause between milestones, on slow hosts
	minPoll     = 20 * time.Millisecond
	maxPoll     = 100 * time.Millisecond
	maxProbes   = 8 // of the endpoint at a time
	minRetry    = 50 * time.Millisecond
	maxRetry    = 500 * time.Millisecond
	maxSkew     = 5 * time.Minute
	crashLimit  = 2   // restarts that make a crash loop
	reasonLines = 200 // of the log, in which the node's last words are looked for
)

// awaitHealthy ends as soon as the endpoint answers. Meanwhile it follows the
// node's milestones: they are the progress that is shown, and the only thing
// that keeps the idle limit from ending the wait.
func (r *run) awaitHealthy(ctx context.Context) error {
	if r.plan.up && !r.made.started && r.probe(ctx, r.plan.Name, r.endpoint()) == nil {
		r.apiAnswers()
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	w := newWait()
	helpers.Go(func() { r.followNode(ctx, w) })
	helpers.Go(func() { r.pollEndpoint(ctx, w) })

	var total <-chan time.Time
	if r.opts.Timeout > 0 {
		timer := time.NewTimer(time.Until(r.began.Add(r.opts.Timeout)))
		defer timer.Stop()
		total = timer.C
	}
	p := newPatience(r.opts.IdleTimeout)
	idle := time.NewTimer(p.limit())
	defer idle.Stop()
	for {
		select {
		case <-w.healthy:
			r.apiAnswers()
			return nil
		case s := <-w.reports:
			if err := r.heard(s, p); err != nil {
				return err
			}
			if p.progressed {
				idle.Reset(p.limit())
				w.hurryUp()
			}
		case err := <-w.ended:
			return err
		case <-idle.C:
			return r.waitedEnough(fault.IdleTimeout, fmt.Sprintf("gateway %s made no progress for %s", r.plan.Name, p.limit().Round(time.Second)))
		case <-total:
			return r.waitedEnough(fault.Timeout, fmt.Sprintf("gateway %s was not healthy within %s", r.plan.Name, r.opts.Timeout))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type wait struct {
	reports chan nodeapi.Status
	ended   chan error    // the node cannot become healthy
	healthy chan struct{} // closed when the endpoint answers
	hurry   chan struct{} // something happened: probe now
}

func newWait() *wait {
	return &wait{
		reports: make(chan nodeapi.Status), ended: make(chan error, 1),
		healthy: make(chan struct{}), hurry: make(chan struct{}, 1),
	}
}

func (w *wait) hurryUp() {
	select {
	case w.hurry <- struct{}{}:
	default:
	}
}

// patience is how long to go without a milestone.
type patience struct {
	given      time.Duration // by the user; 0: not
	last       time.Time     // when something new came
	longest    time.Duration // pause so far
	boot       time.Time     // of the node that the milestones are of
	seen       map[nodeapi.Milestone]bool
	progressed bool // by the latest report
}

func newPatience(given time.Duration) *patience {
	return &patience{given: given, last: time.Now(), seen: map[nodeapi.Milestone]bool{}}
}

// limit is what the user said, else the usual limit, more on a host that has
// shown itself to be slow.
func (p *patience) limit() time.Duration {
	if p.given > 0 {
		return p.given
	}
	return max(idleLimit, idleFactor*p.longest)
}

// hear takes a report and returns the milestones that are new.
func (p *patience) hear(s nodeapi.Status) []nodeapi.Reached {
	if !p.boot.IsZero() && !s.BootedAt.Equal(p.boot) { // restarted: what it reaches is progress again
		p.last = time.Now()
		clear(p.seen)
	}
	p.boot = s.BootedAt
	var fresh []nodeapi.Reached
	for _, m := range s.Milestones {
		if !p.seen[m.Name] {
			p.seen[m.Name] = true
			fresh = append(fresh, m)
		}
	}
	if p.progressed = len(fresh) > 0; p.progressed {
		now := time.Now()
		p.longest = max(p.longest, now.Sub(p.last))
		p.last = now
	}
	return fresh
}

// heard takes a report of the node. An error ends the wait.
func (r *run) heard(s nodeapi.Status, p *patience) error {
	first := r.report == nil
	r.mu.Lock()
	r.report = &s
	r.mu.Unlock()
	if skew := time.Until(s.Now).Abs(); first && !s.Now.IsZero() && skew > maxSkew {
		r.out.warn(skewWarning(skew))
	}
	for _, m := range p.hear(s) {
		r.out.progress(AwaitHealthy, fmt.Sprintf("%s after %s", m.Name, time.Duration(m.AfterMS)*time.Millisecond))
	}
	if s.Has(nodeapi.API) {
		r.apiAnswers()
	}
	if s.Phase == nodeapi.Failed {
		r.unreadable = r.plan.Settings.Initialized != nil && s.Failure != nil && s.Failure.ID == nodeapi.FailureStateUnreadable
		return nodeFailure(r.plan.Name, s.Failure)
	}
	return nil
}

func skewWarning(skew time.Duration) string {
	return fmt.Sprintf("the clocks of this host and of the Docker Engine differ by %s: certificates may be refused; synchronise them", skew.Round(time.Second))
}

// pollEndpoint probes until the endpoint answers, slower as time goes by and at
// once when something happened. It does not wait for a probe to end: one sent
// to a pod that does not listen yet hangs for a second or more.
func (r *run) pollEndpoint(ctx context.Context, w *wait) {
	ctx, cancel := context.WithCancel(ctx)
	var probes sync.WaitGroup
	defer probes.Wait()
	defer cancel()
	answered := make(chan struct{}, maxProbes)
	room := make(chan struct{}, maxProbes)
	for pause := minPoll; ; pause = min(pause*3/2, maxPoll) {
		select {
		case room <- struct{}{}:
			probes.Go(func() {
				defer func() { <-room }()
				probe, cancel := context.WithTimeout(ctx, probeTime)
				defer cancel()
				if r.probe(probe, r.plan.Name, r.endpoint()) == nil {
					answered <- struct{}{}
				}
			})
		default: // enough are under way
		}
		select {
		case <-answered:
			close(w.healthy)
			return
		case <-ctx.Done():
			return
		case <-w.hurry:
			pause = minPoll
		case <-time.After(pause):
		}
	}
}

// followNode passes on the node's reports. Whenever their stream ends it looks
// whether the container still runs.
func (r *run) followNode(ctx context.Context, w *wait) {
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		// The error says no more than the container's state does.
		_ = r.Node.Watch(ctx, r.container, func(s nodeapi.Status) {
			select {
			case w.reports <- s:
				pause = minRetry
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return
		}
		if err := r.stillRuns(ctx); err != nil {
			w.ended <- err
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// stillRuns returns what is wrong with the container. A single restart by the
// engine is no crash loop.
func (r *run) stillRuns(ctx context.Context) error {
	c, err := r.Engine.Container(ctx, r.container)
	if docker.IsNotFound(err) {
		return fault.New(fault.NodeFailed, fault.ExitFailure, "the container of gateway %s was removed while it was starting", r.plan.Name)
	}
	if err != nil {
		return err
	}
	gone := c.State == docker.StateExited || c.State == docker.StateDead || c.State == docker.StateRemoving
	if !gone && c.Restarts-r.restartsBefore() < crashLimit {
		return nil
	}
	e := fault.New(fault.NodeFailed, fault.ExitFailure, "the node of gateway %s ended with code %d", r.plan.Name, c.ExitCode)
	if !gone {
		e = fault.New(fault.NodeFailed, fault.ExitFailure, "the node of gateway %s keeps ending (%d restarts)", r.plan.Name, c.Restarts)
	}
	if c.OOMKilled {
		e.Hint("it ran out of memory: `openshell gateway start %s --memory SIZE`", r.plan.Name)
	}
	if text, err := r.tail(ctx, c.ID, reasonLines); err == nil && docker.LastLine(text) != "" {
		e.Because(fmt.Errorf("last line of its log: %s", docker.LastLine(text)))
	}
	return e
}

// restartsBefore is the container's count when the wait began; starting it by
// hand sets it back to 0.
func (r *run) restartsBefore() int {
	if r.made.started {
		return 0
	}
	return r.plan.restarts
}
