package bootstrap

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/pkg/gateway"
)

// listWidth bounds how many gateways are looked at at a time.
const listWidth = 8

// List implements Gateways: every gateway that Docker or the host knows of,
// sorted by name. It never opens a volume by a helper, so a gateway without a
// container shows the endpoint that the host remembers.
func (m *Manager) List(ctx context.Context) ([]Summary, error) {
	names, err := m.names(ctx)
	if err != nil {
		return nil, observeError(ctx, err)
	}
	out := make([]Summary, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(listWidth)
	for i, name := range names {
		g.Go(func() (err error) {
			if out[i], err = m.summary(ctx, name); vanished(err) {
				out[i], err = m.summary(ctx, name)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, observeError(ctx, err)
	}
	return out, nil
}

func (m *Manager) names(ctx context.Context) ([]gateway.Name, error) {
	ours := map[string]string{gateway.LabelManagedBy: gateway.ManagedBy}
	containers, err := m.Engine.Containers(ctx, ours)
	if err != nil {
		return nil, err
	}
	volumes, err := m.Engine.Volumes(ctx, ours)
	if err != nil {
		return nil, err
	}
	names, err := m.Host.Names()
	if err != nil {
		return nil, err
	}
	add := func(resource string, labels map[string]string) {
		name, err := gateway.ParseName(labels[gateway.LabelGateway])
		if err == nil && name.Resource() == resource {
			names = append(names, name)
		}
	}
	for _, c := range containers {
		add(c.Name, c.Labels)
	}
	for _, v := range volumes {
		add(v.Name, v.Labels)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (m *Manager) summary(ctx context.Context, name gateway.Name) (Summary, error) {
	o, err := m.glance(ctx, name)
	if err != nil {
		return Summary{}, err
	}
	if len(o.foreign()) == 0 {
		if err := m.observeState(ctx, &o, look{}); err != nil {
			return Summary{}, err
		}
	}
	s := Summary{Name: name, Word: o.Word(), Active: o.Active == name}
	if o.Container != nil && s.Word != Foreign {
		s.Endpoint = endpointOf(o.Container.Ports)
	} else if meta, err := m.Host.Metadata(name); err == nil {
		s.Endpoint = meta.Endpoint
	}
	return s, nil
}
