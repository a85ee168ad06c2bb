package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

// Times of a backend.
const (
	restartFirst = time.Second // after the controller ended; doubles
	restartLast  = 30 * time.Second
	steadyAfter  = time.Minute // a controller that ran so long had no bad start

	probeEvery    = 15 * time.Second
	probeTimeout  = 5 * time.Second
	degradedAfter = 45 * time.Second // without an answer of the API
)

// errNoController is the error of what cannot be done while there is none.
var errNoController = errors.New("the gateway is starting its sandbox controller")

// backend runs the controller, again whenever it ends, and knows whether it
// works.
type backend struct {
	start     func(*slog.Logger) (Controller, error) // nil: this server has no sandboxes
	namespace string
	log       *slog.Logger
	now       func() time.Time

	mu       sync.Mutex
	current  Controller    // nil: there is none at the moment
	changed  chan struct{} // closed when current changes
	answered time.Time     // when the API last did
}

func newBackend(start func(*slog.Logger) (Controller, error), namespace string, log *slog.Logger) *backend {
	return &backend{
		start: start, namespace: namespace, log: log, now: time.Now,
		changed: make(chan struct{}), answered: time.Now(),
	}
}

// run returns when ctx is done.
func (b *backend) run(ctx context.Context) {
	if b.start == nil {
		return
	}
	wait := restartFirst
	for {
		began := b.now()
		err := safely(b.log, func() error { return b.control(ctx) })
		if ctx.Err() != nil {
			return
		}
		if b.now().Sub(began) > steadyAfter {
			wait = restartFirst
		}
		b.log.Error("the sandbox controller ended and is started again", "error", err, "after", wait.String())
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, restartLast)
	}
}

// control runs one controller until it ends, which it never does well.
func (b *backend) control(ctx context.Context) error {
	c, err := b.start(b.log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.set(c)
	defer b.set(nil)
	go b.probe(ctx, c.Client())
	return c.Run(ctx)
}

func (b *backend) set(c Controller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = c
	close(b.changed)
	b.changed = make(chan struct{})
}

// get waits for a controller.
func (b *backend) get(ctx context.Context) (Controller, error) {
	if b.start == nil {
		return nil, errNoSandboxes
	}
	for {
		b.mu.Lock()
		current, changed := b.current, b.changed
		b.mu.Unlock()
		if current != nil {
			return current, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errors.Join(errNoController, ctx.Err())
		}
	}
}

// client is the API, with patience.
func (b *backend) client(ctx context.Context) (client.Client, error) {
	c, err := b.get(ctx)
	if err != nil {
		return nil, err
	}
	return patient(c.Client()), nil
}

// present is a sandbox as it is now. What is stored says that it is ready until
// the controller looks at it for the first time, also after a restart that has
// ended all its processes.
func (b *backend) present(s *v1.Sandbox) *v1.Sandbox {
	b.mu.Lock()
	current := b.current
	b.mu.Unlock()
	if s.Status.Phase != v1.PhaseReady || current != nil && current.Knows(s.Spec.ID) {
		return s
	}
	s = s.DeepCopy()
	s.Status.Phase = v1.PhaseProvisioning
	apimeta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{
		Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Restarting", Message: "the gateway has just come back",
		LastTransitionTime: metav1.NewTime(b.now()),
	})
	return s
}

// probe asks the API every now and then, until ctx is done.
func (b *backend) probe(ctx context.Context, c client.Client) {
	for {
		asking, cancel := context.WithTimeout(ctx, probeTimeout)
		err := c.List(asking, &v1.SandboxList{}, client.InNamespace(b.namespace), client.Limit(1))
		cancel()
		if err == nil {
			b.mu.Lock()
			b.answered = b.now()
			b.mu.Unlock()
		}
		if !sleep(ctx, probeEvery) {
			return
		}
	}
}

// works reports whether the controller can do its work. A server that has just
// started, or whose API has just gone away, is given time.
func (b *backend) works() bool {
	if b.start == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Sub(b.answered) < degradedAfter
}

// sleep reports whether the time passed before ctx was done.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
