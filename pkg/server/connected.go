package server

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// callsPerSandbox are connected to one sandbox at a time. Together with its 20
// tunnels and the controller's own link they are fewer than a supervisor takes,
// so that no client keeps the controller out.
const callsPerSandbox = 32

// connected counts the calls that are connected to sandboxes, by id.
type connected struct {
	mu   sync.Mutex
	open map[string]int
}

// enter returns what to call when the call is over.
func (c *connected) enter(id string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[id] >= callsPerSandbox {
		return nil, status.Errorf(codes.ResourceExhausted, "the sandbox has %d calls open, and no more are allowed", callsPerSandbox)
	}
	if c.open == nil {
		c.open = map[string]int{}
	}
	c.open[id]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[id]--; c.open[id] == 0 {
			delete(c.open, id)
		}
	}), nil
}

// counted leaves when it is closed.
type counted struct {
	Agent
	leave func()
}

func (c counted) Close() error {
	defer c.leave()
	return c.Agent.Close()
}
