package usercontainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	pollPause = 250 * time.Millisecond
	settling  = 10 * time.Second // for a sidecar to join again by itself
	// A process that ends at once is seen running for a moment.
	proving = 2 * pollPause
	// How long an edge is waited for while its node says that it comes up.
	upcoming = 2 * time.Minute
)

// Await returns when the container has joined the VPN and the gateway leads to
// all of its services, or when limit has passed: the container is left as it is.
func (m *Manager) Await(ctx context.Context, on gateway.Name, name string, limit time.Duration) (Container, error) {
	began := time.Now()
	deadline := began.Add(limit)
	for {
		c, err := m.Get(ctx, on, name)
		late := time.Now().After(deadline)
		switch {
		case err != nil && (late || !fault.HasID(err, fault.EdgeFailed)):
			return c, err
		case err != nil: // the edge is starting
		case c.State == Stopped || c.State == Restarting || c.Restarts > 0:
			return c, m.ended(ctx, c)
		case c.State == Running && c.settled() && time.Since(began) >= proving:
			return c, nil
		case late && c.State == Running:
			return c, nil // its services tell how they are
		case late:
			return c, fault.New(fault.Timeout, fault.ExitTimeout, "container %s has not joined the VPN of gateway %s within %s; it is left running", name, on, limit).
				Hint("see why: `docker logs %s`", c.Sidecar).
				Hint("delete it: `openshell container rm %s`", name)
		}
		if err := pause(ctx, pollPause); err != nil {
			return c, asFault(ctx, err)
		}
	}
}

// settled reports that the gateway has decided on every service.
func (c Container) settled() bool {
	for _, s := range c.Services {
		if !s.Live() && s.Message == "" {
			return false
		}
	}
	return true
}

// ended explains a container whose process ended.
func (m *Manager) ended(ctx context.Context, c Container) error {
	code := 0
	if u, err := m.Engine.Container(ctx, c.Docker); err == nil {
		code = u.ExitCode
	}
	e := fault.New(fault.ContainerFailed, fault.ExitFailure, "the process of container %s ended with exit code %d; Docker starts it again and again", c.Name, code).
		Hint("see its output: `docker logs %s`", c.Docker).
		Hint("delete it: `openshell container rm %s`", c.Name)
	if c.State == Stopped {
		e.Message = fmt.Sprintf("container %s is stopped: its process ended with exit code %d", c.Name, code)
	}
	if said := m.lastWords(ctx, c.Docker); said != "" {
		e.Cause = errors.New(said)
	}
	return e
}

// lastWords is the last line that a container wrote.
func (m *Manager) lastWords(ctx context.Context, ref string) string {
	r, err := m.Engine.Logs(ctx, ref, docker.LogOptions{Tail: 1})
	if err != nil {
		return ""
	}
	defer r.Close()
	text, _ := io.ReadAll(io.LimitReader(r, 4<<10)) // a part of it is better than nothing
	return strings.TrimSpace(string(text))
}

// settled observes, and gives a container that runs the time to join by itself
// what may just have come up.
func (m *Manager) settled(ctx context.Context, on gateway.Name, name string, out Progress) (observed, error) {
	for deadline := time.Now().Add(settling); ; {
		o, err := m.answered(ctx, on, name, out)
		coming := err == nil && o.running() && o.client != nil && !o.client.Connected && up(o.user) && !o.detached() &&
			o.sidecar.State == docker.StateRunning
		if !coming || time.Now().After(deadline) {
			return o, err
		}
		if err := pause(ctx, pollPause); err != nil {
			return o, err
		}
	}
}

// answered observes, and waits for an edge that may be about to come up: it is
// brought up after the rest of its gateway.
func (m *Manager) answered(ctx context.Context, on gateway.Name, name string, out Progress) (observed, error) {
	end := func(bool) {}
	defer func() { end(false) }()
	for began, waits := time.Now(), false; ; {
		o, err := m.observe(ctx, on, name)
		waited := time.Since(began)
		if !fault.HasID(err, fault.EdgeFailed) || waited > upcoming || waited > nodeapi.EdgePatience && !m.edgeStarts(ctx, o.node.ID) {
			return o, err
		}
		if !waits {
			end, waits = out.Step("wait for the edge", "app-gateway does not answer yet"), true
		}
		if err := pause(ctx, pollPause); err != nil {
			return o, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Follow copies the output of a container until it ends or ctx does.
func (m *Manager) Follow(ctx context.Context, on gateway.Name, name string, w io.Writer) error {
	r, err := m.Engine.Logs(ctx, on.UserContainer(name), docker.LogOptions{Follow: true})
	if err != nil {
		return asFault(ctx, err)
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil && ctx.Err() == nil {
		return asFault(ctx, err)
	}
	return nil
}
