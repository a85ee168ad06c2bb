package bootstrap

import (
	"context"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
)

// Stop implements Gateways. What does not run is stopped already.
func (m *Manager) Stop(ctx context.Context, name gateway.Name, sink Sink) (Word, error) {
	return m.lockedGlance(ctx, name, sink, decideStop)
}

// Destroy implements Gateways: container, user containers, volume, network and
// host files go, the image stays. It works in every state but foreign.
func (m *Manager) Destroy(ctx context.Context, name gateway.Name, sink Sink) (Word, error) {
	return m.lockedGlance(ctx, name, sink, decideDestroy)
}

// lockedGlance plans from what exists alone: neither verb may depend on a
// volume that can be read or a node that answers.
func (m *Manager) lockedGlance(ctx context.Context, name gateway.Name, sink Sink, decide func(Observed) Plan) (Word, error) {
	unlock, err := m.lock(ctx, name, sink)
	if err != nil {
		return Unknown, err
	}
	defer unlock()
	o, err := m.glance(ctx, name)
	if err != nil {
		return Unknown, observeError(ctx, err)
	}
	if o.Guests, err = m.guests(ctx, name); err != nil {
		return Unknown, observeError(ctx, err)
	}
	if len(o.foreign()) > 0 {
		return Foreign, foreignError(o)
	}
	p := decide(o)
	return p.Was, m.follow(ctx, p, sink)
}

// roughWord is the word as far as it can be told without asking the node.
func (o Observed) roughWord() Word {
	if o.Container != nil && o.Container.State == docker.StateRunning {
		return Running
	}
	return o.Word()
}

func (o Observed) newPlan(action Action) Plan {
	p := Plan{Name: o.Name, Was: o.roughWord(), Action: action, up: o.up()}
	if o.Container != nil {
		p.container, p.restarts = o.Container.ID, o.Container.Restarts
	}
	if o.Helper {
		p.add(RemoveHelper, "an interrupted run left a helper container")
	}
	return p
}

func decideStop(o Observed) Plan {
	p := o.newPlan(ActionStop)
	switch {
	case o.up():
		p.add(StopContainer, "it is %s", o.Container.State)
	case p.Was == Removing && o.Container.State == docker.StateRemoving:
		p.add(WaitRemoval, "it is being removed")
	}
	return p
}

func decideDestroy(o Observed) Plan {
	p := o.newPlan(ActionDestroy)
	switch {
	case o.Container == nil:
	case o.Container.State == docker.StateRemoving:
		p.add(WaitRemoval, "it is being removed")
	default:
		p.add(RemoveContainer, "it is %s", o.Container.State)
	}
	if p.guests = o.Guests; len(o.Guests) > 0 {
		p.add(RemoveGuests, "destroy")
	}
	if o.Volume != nil {
		p.add(RemoveVolume, "destroy")
	}
	if o.Network != nil {
		p.add(RemoveNetwork, "destroy")
	}
	p.add(RemoveHostFiles, "destroy")
	return p
}
