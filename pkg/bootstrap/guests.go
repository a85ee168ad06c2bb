package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
)

// guests are the user containers of a gateway and their sidecars, which are on
// its network.
func (m *Manager) guests(ctx context.Context, name gateway.Name) ([]docker.Container, error) {
	return m.Engine.Containers(ctx, name.UserContainers())
}

// removeGuests removes them with the gateway that leads to them.
func (r *run) removeGuests(ctx context.Context) (changed bool, err error) {
	for _, c := range r.plan.guests {
		gone, rmErr := removed(r.Engine.PurgeContainer(ctx, c.ID))
		changed, err = changed || gone, errors.Join(err, rmErr)
	}
	return changed, err
}

// removeNetwork takes the sidecars off it first: they keep it.
func (r *run) removeNetwork(ctx context.Context) (bool, error) {
	name := r.plan.Name.Resource()
	guests, err := r.guests(ctx, r.plan.Name)
	if err != nil {
		return false, err
	}
	for _, c := range guests {
		if _, on := c.NetworkIDs[name]; on {
			if _, err := removed(r.Engine.DisconnectNetwork(ctx, name, c.ID)); err != nil {
				return false, err
			}
		}
	}
	return removed(r.Engine.RemoveNetwork(ctx, name))
}

// attachGuests puts the sidecars on the network that was made anew. The gateway
// does without those that fail.
func (r *run) attachGuests(ctx context.Context) error {
	name := r.plan.Name.Resource()
	guests, err := r.guests(ctx, r.plan.Name)
	if err != nil {
		return err
	}
	for _, c := range guests {
		if !r.plan.Name.IsSidecar(c.Name) {
			continue // it shares a sidecar's network
		}
		err := r.Engine.DisconnectNetwork(ctx, name, c.ID)
		if err == nil {
			err = r.Engine.ConnectNetwork(ctx, name, c.ID)
		}
		switch container := c.Labels[gateway.LabelContainer]; {
		case docker.IsUnreachable(err) || ctx.Err() != nil:
			return err
		case err != nil && !docker.IsNotFound(err):
			r.out.warn(fmt.Sprintf("container %s is not on the network that was made anew; `openshell container start %s --gateway %s` brings it back: %v",
				container, container, r.plan.Name, err))
		}
	}
	return nil
}
