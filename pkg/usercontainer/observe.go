package usercontainer

import (
	"context"
	"fmt"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// observed is one snapshot of what matters to a user container. A nil pointer
// means absent.
type observed struct {
	name    string
	on      gateway.Name
	node    *docker.Container // the gateway's
	state   bool              // the gateway has a volume
	network *docker.Network   // the gateway's
	user    *docker.Container
	sidecar *docker.Container

	client *edgeapi.VPNClient // what the gateway knows of it
	routes []edgeapi.Route    // all of the gateway
	scheme string             // of URLs on the gateway's web port; empty: not known
}

// running reports whether the gateway can be asked.
func (o observed) running() bool { return o.node != nil && o.node.State == docker.StateRunning }

// present turns "not found" into nil.
func present[T any](v T, err error) (*T, error) {
	if docker.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// observeGateway looks at the gateway's container.
func (m *Manager) observeGateway(ctx context.Context, o *observed) (err error) {
	if o.node, err = present(m.Engine.Container(ctx, o.on.Resource())); err != nil {
		return err
	}
	if o.node != nil && !o.on.Owns(o.node.Labels) {
		return foreign(o.on, o.node.Name)
	}
	if o.node != nil {
		o.state = true
		return nil
	}
	volume, err := present(m.Engine.Volume(ctx, o.on.Resource()))
	o.state = volume != nil && o.on.Owns(volume.Labels)
	return err
}

// observe looks at one user container.
func (m *Manager) observe(ctx context.Context, on gateway.Name, name string) (observed, error) {
	o := observed{name: name, on: on}
	if err := m.observeGateway(ctx, &o); err != nil {
		return o, err
	}
	var err error
	if o.network, err = present(m.Engine.Network(ctx, on.Resource())); err != nil {
		return o, err
	}
	if o.user, err = m.ours(ctx, on, name, on.UserContainer(name)); err != nil {
		return o, err
	}
	if o.sidecar, err = m.ours(ctx, on, name, on.Sidecar(name)); err != nil {
		return o, err
	}
	if !o.running() {
		return o, nil
	}
	vpn, err := m.vpn(ctx, o)
	if err != nil {
		return o, err
	}
	o.client = clientOf(vpn, name)
	if o.routes, err = m.routes(ctx, o); err != nil {
		return o, err
	}
	o.scheme, err = m.scheme(ctx, o)
	return o, err
}

// scheme is what the gateway's nginx speaks, by the settings that its container
// booted with. They change with the container alone.
func (m *Manager) scheme(ctx context.Context, o observed) (string, error) {
	data, err := m.Engine.ReadFile(ctx, o.node.ID, nodeapi.SettingsFile)
	if err != nil {
		return "", fmt.Errorf("settings of gateway %s: %w", o.on, err)
	}
	s, err := gateway.DecodeSettings(data)
	if err != nil {
		return "", fmt.Errorf("settings of gateway %s: %w", o.on, err)
	}
	return s.WebScheme(), nil
}

func clientOf(vpn edgeapi.VPN, name string) *edgeapi.VPNClient {
	for i := range vpn.Clients {
		if vpn.Clients[i].Name == name {
			return &vpn.Clients[i]
		}
	}
	return nil
}

// ours is a container that has to be of this user container, or absent.
func (m *Manager) ours(ctx context.Context, on gateway.Name, name, ref string) (*docker.Container, error) {
	c, err := present(m.Engine.Container(ctx, ref))
	if err != nil || c == nil {
		return nil, err
	}
	if !on.Owns(c.Labels) || c.Labels[gateway.LabelContainer] != name {
		return nil, foreign(on, c.Name)
	}
	return c, nil
}

// needGateway reports why nothing can be done without the gateway.
func (o observed) needGateway() error {
	switch {
	case o.running():
		return nil
	case !o.state:
		return fault.New(fault.NotRunning, fault.ExitNotRunning, "there is no gateway %s, whose network a container would join", o.on).
			Hint("make one: `openshell gateway start %s`", o.on)
	case o.node == nil:
		return notRunning(o.on, "it has no container at present")
	}
	return notRunning(o.on, "its container is "+string(o.node.State))
}

// needNetwork reports why a container cannot join the gateway.
func (o observed) needNetwork() error {
	if err := o.needGateway(); err != nil || o.network != nil {
		return err
	}
	return notRunning(o.on, "its network is gone")
}

func notRunning(on gateway.Name, why string) error {
	return fault.New(fault.NotRunning, fault.ExitNotRunning, "gateway %s is not running: %s", on, why).
		Hint("start it: `openshell gateway start %s`", on)
}

func foreign(on gateway.Name, container string) error {
	return fault.New(fault.Foreign, fault.ExitConflict, "container %s was not made by openshell for gateway %s: it is left alone", container, on)
}
