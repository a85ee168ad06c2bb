//go:build linux

package supervisor

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/version"
)

// lastWord bounds how long a supervisor that ends waits for its last status to
// be sent.
const lastWord = time.Second

// listeners are the channels that a status is told on.
type listeners struct {
	mu   sync.Mutex
	open map[chan struct{}]struct{} // each is closed when its listener has heard the last
	over chan struct{}              // closed when no other status will follow
}

func newListeners() *listeners {
	return &listeners{open: map[chan struct{}]struct{}{}, over: make(chan struct{})}
}

// add returns what to call when the listener has heard the last.
func (l *listeners) add() func() {
	heard := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[heard] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, heard)
		close(heard)
	}
}

// end waits until those there are have heard the last, but not for long.
func (l *listeners) end() {
	late := time.After(lastWord)
	close(l.over)
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, heard := range open {
		select {
		case <-heard:
		case <-late:
			return
		}
	}
}

// statusChannel serves a ChannelStatus.
func (s *supervisor) statusChannel(request ssh.NewChannel) {
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	defer s.listeners.add()()
	defer ch.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ssh.DiscardRequests(requests)
	}()
	out := json.NewEncoder(ch)
	for told := (*sandboxapi.Status)(nil); ; {
		over := isClosed(s.listeners.over)
		changed := s.changed()
		status := s.status()
		if told == nil || !reflect.DeepEqual(*told, status) {
			if out.Encode(status) != nil {
				return
			}
			told = &status
		}
		if over {
			return
		}
		select {
		case <-changed:
		case <-s.listeners.over:
		case <-gone:
			return
		}
	}
}

func (s *supervisor) status() sandboxapi.Status {
	status := sandboxapi.Status{Version: version.Version}
	if s.command != nil {
		c, _ := s.command.look()
		status.Command = &c
		status.Attached, status.DetachedAt = s.command.audience()
	}
	return status
}

// changed never fires in a sandbox without a command.
func (s *supervisor) changed() <-chan struct{} {
	if s.command == nil {
		return nil
	}
	return s.command.changed.wait()
}
