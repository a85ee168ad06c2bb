package usercontainer

import (
	"context"
	"fmt"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// CheckName refuses what cannot be a container's name.
func CheckName(name string) error {
	if err := edge.CheckHost(name); err != nil {
		return fault.New(fault.BadName, fault.ExitUsage, "container %s", err)
	}
	return nil
}

// Check refuses options before anything is done. An empty name is for later.
func (o Options) Check() error {
	if o.Name != "" {
		if err := CheckName(o.Name); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, s := range o.Services {
		if seen[s.Host] {
			return fault.New(fault.Usage, fault.ExitUsage, "service %s is named twice", s.Host)
		}
		seen[s.Host] = true
	}
	return nil
}

// Run makes and starts a container, and returns its name. What it made goes
// again when it fails.
func (m *Manager) Run(ctx context.Context, opts Options, out Progress) (name string, err error) {
	if err := opts.Check(); err != nil {
		return "", err
	}
	unlock, err := m.lock(ctx, opts.Gateway, out)
	if err != nil {
		return "", err
	}
	defer unlock()
	if opts.Name == "" {
		if opts.Name, err = m.freeName(ctx, opts.Gateway, opts.Image); err != nil {
			return "", asFault(ctx, err)
		}
	}
	o, err := m.answered(ctx, opts.Gateway, opts.Name, out)
	if err != nil {
		return "", asFault(ctx, err)
	}
	p, err := decideRun(o, opts.Services)
	if err != nil {
		return "", err
	}
	w := m.newWork(o, opts, out)
	if err := w.follow(ctx, p); err != nil {
		w.undo(ctx)
		return "", err
	}
	return opts.Name, nil
}

// Start leads a container back to what it was, after whatever happened to it,
// its sidecar or the gateway's VPN.
func (m *Manager) Start(ctx context.Context, on gateway.Name, name string, out Progress) error {
	unlock, err := m.lock(ctx, on, out)
	if err != nil {
		return err
	}
	defer unlock()
	o, err := m.settled(ctx, on, name, out)
	if err != nil {
		return asFault(ctx, err)
	}
	p, err := decideStart(o)
	if err != nil {
		return err
	}
	opts := Options{Gateway: on, Name: name, Services: servicesOf(o.user.Labels)}
	return m.newWork(o, opts, out).follow(ctx, p)
}

// Remove leaves nothing of a container, here and at its gateway.
func (m *Manager) Remove(ctx context.Context, on gateway.Name, name string, out Progress) error {
	unlock, err := m.lock(ctx, on, out)
	if err != nil {
		return err
	}
	defer unlock()
	o, err := m.answered(ctx, on, name, out)
	if err != nil {
		return asFault(ctx, err)
	}
	p, err := decideRemove(o)
	if err != nil {
		return err
	}
	return m.newWork(o, Options{}, out).follow(ctx, p)
}

func (m *Manager) lock(ctx context.Context, on gateway.Name, out Progress) (unlock func(), err error) {
	unlock, err = m.Host.LockContainers(ctx, on, func(holder string) { out.Note("waiting for " + holder) })
	if err != nil && ctx.Err() != nil {
		return nil, fault.New(fault.Interrupted, fault.ExitInterrupted, "interrupted").Because(err)
	}
	return unlock, err
}

// freeName is a name after the image that no container of the gateway has.
func (m *Manager) freeName(ctx context.Context, on gateway.Name, image string) (string, error) {
	all, err := m.List(ctx, on)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, c := range all.Containers {
		taken[c.Name] = c.State != Incomplete
	}
	base := nameAfter(image)
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		if !taken[name] && edge.CheckHost(name) == nil {
			return name, nil
		}
	}
}
