package tunnel

import (
	"context"
	"net/http"
	"sync"
)

// table holds the tunnels that are open or about to be.
type table struct {
	mu      sync.Mutex
	entries map[*entry]struct{}
	closed  bool
	ended   sync.WaitGroup
}

type entry struct {
	session string
	sandbox string // empty until the token is verified
	cancel  context.CancelFunc
}

// enter counts a tunnel against its session.
func (t *table) enter(e *entry) *Refused {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return &Refused{http.StatusServiceUnavailable, "the gateway is stopping"}
	}
	if t.count(func(other *entry) bool { return other.session == e.session }) >= PerSession {
		return &Refused{http.StatusTooManyRequests, "the token has 3 tunnels open, and no more are allowed"}
	}
	if t.entries == nil {
		t.entries = map[*entry]struct{}{}
	}
	t.entries[e] = struct{}{}
	t.ended.Add(1)
	return nil
}

// join counts a tunnel that has entered against its sandbox too.
func (t *table) join(e *entry, sandbox string) *Refused {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count(func(other *entry) bool { return other.sandbox == sandbox }) >= PerSandbox {
		return &Refused{http.StatusTooManyRequests, "the sandbox has 20 tunnels open, and no more are allowed"}
	}
	e.sandbox = sandbox
	return nil
}

func (t *table) leave(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.entries[e]; ok {
		delete(t.entries, e)
		t.ended.Done()
	}
}

func (t *table) end(which func(*entry) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := range t.entries {
		if which(e) {
			e.cancel()
		}
	}
}

func (t *table) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end(func(*entry) bool { return true })
	t.ended.Wait()
}

// count needs the lock.
func (t *table) count(which func(*entry) bool) int {
	n := 0
	for e := range t.entries {
		if which(e) {
			n++
		}
	}
	return n
}
