package bootstrap

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Outcome is what executing a plan did.
type Outcome struct {
	Settings gateway.Settings
	Changed  []string // steps that changed something, in order
	Warnings []string
	Loaded   string // name of the image that LoadImage brought

	unreadable bool // see StartResult
}

// Execute follows a plan. It makes no decisions. When a step fails it saves the
// node's log, undoes what it did itself unless opts say otherwise, and returns
// a *fault.Error.
func (m *Manager) Execute(ctx context.Context, p Plan, opts StartOptions, sink Sink) (Outcome, error) {
	r := m.newRun(p, opts, sink)
	for _, n := range p.Notes {
		r.out.event(Event{Kind: Note, Message: n})
	}
	for _, w := range p.Warnings {
		r.out.warn(w)
	}
	err := r.all(ctx)
	if err != nil {
		err = r.failed(ctx, err)
	}
	return Outcome{Settings: r.settings, Changed: r.out.changed, Warnings: r.out.warnings, Loaded: r.loaded, unreadable: r.unreadable}, err
}

func (m *Manager) newRun(p Plan, opts StartOptions, sink Sink) *run {
	return &run{
		Manager: m, plan: p, opts: opts, out: &reporter{sink: sink},
		began: time.Now(), settings: p.Settings, container: p.container, apiUp: make(chan struct{}), waited: make(chan struct{}),
	}
}

// follow executes a plan that has nothing to take back: a failure leaves
// things where they are, and the same command goes on from there.
func (m *Manager) follow(ctx context.Context, p Plan, sink Sink) error {
	if err := m.newRun(p, StartOptions{}, sink).all(ctx); err != nil {
		return stepError(ctx, err)
	}
	return nil
}

// run is one execution of a plan.
type run struct {
	*Manager
	plan  Plan
	opts  StartOptions
	out   *reporter
	began time.Time

	settings  gateway.Settings
	container string // id of the one in use
	loaded    string // image name

	made       made
	bundle     hostconfig.Bundle
	rolled     bool // the server was restarted to read new Secrets
	apiOnce    sync.Once
	apiUp      chan struct{} // closed when the Kubernetes API answers
	waited     chan struct{} // closed when nothing waits for the node any more
	mu         sync.Mutex
	report     *nodeapi.Status // the node's latest
	unreadable bool            // it ended the wait by saying so
	failedOp   Op              // the first one; what fails after it only follows from it
}

// made is what this run created and would take back. A call that got no answer
// may have had its effect, so things are noted before they are asked for.
//
// Settings are noted only until the container that has them was started: a
// gateway goes back to those with which one could be.
type made struct{ network, volume, container, started, hostFiles, settings bool }

// all runs the steps: those marked alongside as one chain beside the next.
func (r *run) all(ctx context.Context) error {
	steps := r.plan.Steps
	for len(steps) > 0 {
		n := slices.IndexFunc(steps, func(s Step) bool { return !s.Alongside })
		chain, main := steps[:n], steps[n]
		steps = steps[n+1:]
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			for _, s := range chain {
				if err := r.step(gctx, s); err != nil {
					return err
				}
			}
			return nil
		})
		g.Go(func() error { return r.step(gctx, main) })
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// step runs one and reports on it.
func (r *run) step(ctx context.Context, s Step) error {
	began := time.Now()
	r.out.event(Event{Kind: StepStarted, Step: string(s.Op), Cause: s.Cause})
	changed, err := r.do(ctx, s.Op)
	if err != nil {
		r.mu.Lock()
		first := r.failedOp == ""
		if first {
			r.failedOp = s.Op
		}
		r.mu.Unlock()
		if taken := (*chosenTaken)(nil); errors.As(err, &taken) {
			r.out.event(Event{Kind: Note, Message: taken.Error() + ": another is chosen"})
		} else if first {
			r.out.event(Event{Kind: StepFailed, Step: string(s.Op), Message: stepError(ctx, err).Error(), Elapsed: time.Since(began)})
		}
		return err
	}
	r.out.done(s.Op, changed, time.Since(began))
	return nil
}

// do is the step's action. Every action may be repeated.
func (r *run) do(ctx context.Context, op Op) (changed bool, err error) {
	switch op {
	case WaitRemoval:
		return r.waitRemoval(ctx)
	case RemoveHelper:
		return true, r.removeHelper(ctx, r.plan.Name)
	case LoadImage:
		return r.loadImage(ctx)
	case PullImage:
		return r.pullImage(ctx)
	case StopContainer:
		return r.stopContainer(ctx)
	case WriteSettings:
		return true, r.writeSettings(ctx)
	case RemoveContainer:
		return r.removeContainer(ctx)
	case RemoveGuests:
		return r.removeGuests(ctx)
	case RemoveVolume:
		return removed(r.Engine.RemoveVolume(ctx, r.plan.Name.Resource()))
	case ClearVolume:
		return true, r.clearVolume(ctx, r.plan.Name, r.settings.Image.ID)
	case RemoveNetwork:
		return r.removeNetwork(ctx)
	case CreateNetwork:
		return r.createNetwork(ctx)
	case CreateVolume:
		return r.createVolume(ctx)
	case CreateContainer:
		return r.createContainer(ctx)
	case SetRestartPolicy:
		return true, r.Engine.SetRestartPolicy(ctx, r.container, restartPolicy)
	case UnpauseContainer:
		return true, r.Engine.UnpauseContainer(ctx, r.container)
	case StartContainer:
		return r.startContainer(ctx)
	case ReconcileSecrets:
		return r.reconcileSecrets(ctx)
	case WriteHostFiles:
		return r.writeHostFiles(ctx)
	case AwaitHealthy:
		defer close(r.waited)
		return false, r.awaitHealthy(ctx)
	case MarkInitialized:
		return r.markInitialized(ctx)
	case WriteMetadata:
		return r.writeMetadata()
	case SelectGateway:
		return true, r.Host.SetActive(r.plan.Name)
	case RestoreEdge:
		return r.restoreEdge(ctx)
	case RemoveHostFiles:
		return r.removeHostFiles()
	}
	return false, fault.New(fault.Internal, fault.ExitFailure, "step %q is not known", op)
}

// apiAnswers lets the steps go on that need the Kubernetes API.
func (r *run) apiAnswers() { r.apiOnce.Do(func() { close(r.apiUp) }) }

func (r *run) endpoint() string { return endpointOf(publishedPorts(r.settings)) }

// reporter sends events one at a time and keeps what the result needs.
type reporter struct {
	mu       sync.Mutex
	sink     Sink
	changed  []string
	warnings []string
}

func (o *reporter) event(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.At = time.Now()
	if o.sink != nil {
		o.sink.Event(e)
	}
}

func (o *reporter) progress(op Op, message string) {
	o.event(Event{Kind: StepProgress, Step: string(op), Message: message})
}

func (o *reporter) warn(message string) {
	o.mu.Lock()
	o.warnings = append(o.warnings, message)
	o.mu.Unlock()
	o.event(Event{Kind: Warning, Message: message})
}

func (o *reporter) done(op Op, changed bool, elapsed time.Duration) {
	if changed {
		o.mu.Lock()
		o.changed = append(o.changed, string(op))
		o.mu.Unlock()
	}
	o.event(Event{Kind: StepDone, Step: string(op), Changed: changed, Elapsed: elapsed})
}
