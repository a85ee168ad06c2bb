package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Pauses between attempts to connect.
const (
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

// agent keeps the connection to one supervisor.
type agent struct {
	dialer  dialer
	changed func(sandbox string)
	log     *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	news   chan struct{} // holds one when the target changed: try at once

	mu     sync.Mutex
	target target
	word   word
	drop   context.CancelFunc // of the present attempt; nil: none
}

// targetOf is the supervisor of a pod.
func targetOf(s *v1.Sandbox, pod *corev1.Pod) target {
	t := target{
		id: s.Spec.ID, sandbox: s.Name, hostKey: s.Status.HostKey, address: place(pod.Status.PodIP), pod: pod.UID,
		ending: s.Spec.Stopped || pod.DeletionTimestamp != nil,
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == containerName {
			t.container = c.ContainerID
		}
	}
	return t
}

func newAgent(t target, d dialer, changed func(string), log *slog.Logger) *agent {
	ctx, cancel := context.WithCancel(context.Background())
	return &agent{dialer: d, changed: changed, log: log, ctx: ctx, cancel: cancel, news: make(chan struct{}, 1), target: t}
}

func (a *agent) stop() { a.cancel() }

// aim takes a new target. A connection to another address is dropped; one to
// the same address stands until it ends by itself, for a kubelet that reports
// late may speak of a start that is long over.
func (a *agent) aim(t target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.address == "" && t.pod == a.target.pod {
		t.address = a.target.address // a hint was faster than the kubelet
	}
	if t == a.target {
		return
	}
	moved := t.address != a.target.address || t.hostKey != a.target.hostKey
	a.target = t
	if moved && a.drop != nil {
		a.drop()
	}
	a.wake()
}

// wake ends the present pause.
func (a *agent) wake() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

func (a *agent) aimed() target {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.target
}

func (a *agent) said() word {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.word
}

// keep connects again and again until the agent is stopped.
func (a *agent) keep() {
	pause := firstPause
	for a.ctx.Err() == nil {
		t := a.aimed()
		var wait <-chan time.Time
		if t.address != "" {
			connected, err := a.listen(t)
			if connected {
				pause = firstPause
			}
			if a.ctx.Err() != nil {
				return
			}
			a.log.Debug("no connection to the supervisor", "address", t.address, "error", err)
			wait = time.After(pause)
			pause = min(2*pause, longPause)
		}
		select {
		case <-a.ctx.Done():
		case <-wait:
		case <-a.news:
			pause = firstPause
		}
	}
}

// listen connects and takes what the supervisor says until that ends.
func (a *agent) listen(t target) (connected bool, err error) {
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	a.mu.Lock()
	a.drop = cancel
	stale := a.target != t
	a.mu.Unlock()
	if stale {
		return false, errors.New("the target changed")
	}
	setup, done := context.WithTimeout(ctx, 2*dialTimeout)
	defer done()
	conn, err := a.dialer.dial(setup, t.id, t.address)
	if err != nil {
		return false, err
	}
	client, err := speak(setup, conn, t.hostKey)
	if err != nil {
		return false, err
	}
	defer client.Close()
	err = client.Status(ctx, func(s sandboxapi.Status) {
		connected = true
		a.say(word{connected: true, status: &s})
	})
	if connected {
		last := a.said()
		a.say(word{status: last.status})
	}
	return connected, err
}

// say remembers a word and tells that it is a new one.
func (a *agent) say(w word) {
	a.mu.Lock()
	a.word = w
	over := a.ctx.Err() != nil
	name := a.target.sandbox
	a.mu.Unlock()
	if !over {
		a.changed(name)
	}
}

// hint tries an address that somebody says is this supervisor's, unless there
// is a connection. Preface and host key decide; it is kept only until the
// kubelet names one.
func (a *agent) hint(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.word.connected {
		return
	}
	if a.target.address == "" {
		a.target.address = address
	}
	if a.target.address == address {
		a.wake()
	}
}
