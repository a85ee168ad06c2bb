package bootstrap

import (
	"context"
	"errors"
	"io"
	"slices"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// Select implements Gateways. Only a gateway that exists can be selected.
func (m *Manager) Select(ctx context.Context, name gateway.Name) error {
	o, err := m.glance(ctx, name)
	if err != nil {
		return observeError(ctx, err)
	}
	if len(o.foreign()) > 0 {
		return foreignError(o)
	}
	if o.Word() == Absent {
		names, err := m.Host.Names()
		if err != nil {
			return err
		}
		if !slices.Contains(names, name) {
			return notFound(name)
		}
	}
	return m.Host.SetActive(name)
}

// Logs implements Gateways: the log of the node.
func (m *Manager) Logs(ctx context.Context, name gateway.Name, tail int, follow bool, w io.Writer) error {
	c, err := m.containerOf(ctx, name)
	if err != nil {
		return err
	}
	r, err := m.Engine.Logs(ctx, c.ID, docker.LogOptions{Tail: tail, Follow: follow})
	if err != nil {
		return stepError(ctx, err)
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return stepError(ctx, err)
	}
	return nil
}

// Exec implements Gateways: it runs a command in the node.
func (m *Manager) Exec(ctx context.Context, name gateway.Name, argv []string, stdio Stdio) (int, error) {
	c, err := m.runningContainer(ctx, name)
	if err != nil {
		return 0, err
	}
	spec := docker.ExecSpec{Argv: argv, Stdin: stdio.In, Stdout: stdio.Out, Stderr: stdio.Err, TTY: stdio.TTY}
	if stdio.Sizes != nil {
		done := make(chan struct{})
		defer close(done)
		spec.Resize = sizes(stdio.Sizes, done)
	}
	code, err := m.Engine.Exec(ctx, c.ID, spec)
	if err != nil {
		return 0, stepError(ctx, err)
	}
	return code, nil
}

// runningContainer is the gateway's container, which has to run.
func (m *Manager) runningContainer(ctx context.Context, name gateway.Name) (docker.Container, error) {
	c, err := m.containerOf(ctx, name)
	if err == nil && c.State != docker.StateRunning {
		err = fault.New(fault.NotRunning, fault.ExitNotRunning, "gateway %s is not running: its container is %s", name, c.State).
			Hint("start it: `openshell gateway start %s`", name)
	}
	return c, err
}

// containerOf is the gateway's container, whatever its state.
func (m *Manager) containerOf(ctx context.Context, name gateway.Name) (docker.Container, error) {
	o, err := m.glance(ctx, name)
	switch {
	case err != nil:
		return docker.Container{}, observeError(ctx, err)
	case len(o.foreign()) > 0:
		return docker.Container{}, foreignError(o)
	case o.Container != nil:
		return *o.Container, nil
	case o.Volume != nil:
		return docker.Container{}, fault.New(fault.NotRunning, fault.ExitNotRunning, "gateway %s has no container at present", name).
			Hint("start it: `openshell gateway start %s`", name)
	}
	return docker.Container{}, notFound(name)
}

// sizes translates terminal sizes until done is closed.
func sizes(in <-chan TermSize, done <-chan struct{}) <-chan docker.Size {
	out := make(chan docker.Size)
	go func() {
		for {
			select {
			case <-done:
				return
			case s, ok := <-in:
				if !ok {
					return
				}
				select {
				case out <- docker.Size{Width: s.Width, Height: s.Height}:
				case <-done:
					return
				}
			}
		}
	}()
	return out
}
