package docker

import (
	"context"
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

func (d *engine) Network(ctx context.Context, ref string) (Network, error) {
	res, err := d.api.NetworkInspect(ctx, ref, client.NetworkInspectOptions{})
	if err != nil {
		return Network{}, d.fail("inspect network", ref, err)
	}
	n := fromNetwork(res.Network.Network)
	for _, ep := range res.Network.Containers {
		n.Containers = append(n.Containers, ep.Name)
	}
	slices.Sort(n.Containers)
	return n, nil
}

func (d *engine) Networks(ctx context.Context) ([]Network, error) {
	res, err := d.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, d.fail("list networks", "", err)
	}
	var out []Network
	for _, n := range res.Items {
		out = append(out, fromNetwork(n.Network))
	}
	return out, nil
}

// CreateNetwork refuses a name in use itself where the engine does not: before
// API 1.44 it makes a second network of the same name, which no name finds.
func (d *engine) CreateNetwork(ctx context.Context, name string, subnet netip.Prefix, labels map[string]string) error {
	const op = "create network"
	if versions.LessThan(d.api.ClientVersion(), "1.44") {
		all, err := d.Networks(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(n Network) bool { return n.Name == name }) {
			return NewError(Conflict, op, name, "network with name %s already exists", name)
		}
	}
	_, err := d.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{
		Driver: "bridge", Labels: labels,
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}},
	})
	return d.fail(op, name, err)
}

func (d *engine) RemoveNetwork(ctx context.Context, ref string) error {
	_, err := d.api.NetworkRemove(ctx, ref, client.NetworkRemoveOptions{})
	return d.fail("remove network", ref, err)
}

func (d *engine) ConnectNetwork(ctx context.Context, ref, container string) error {
	_, err := d.api.NetworkConnect(ctx, ref, client.NetworkConnectOptions{Container: container})
	return d.fail("connect to network", ref, err)
}

func (d *engine) DisconnectNetwork(ctx context.Context, ref, container string) error {
	_, err := d.api.NetworkDisconnect(ctx, ref, client.NetworkDisconnectOptions{Container: container})
	if err != nil && has(err.Error(), "is not connected to") {
		return nil
	}
	return d.fail("disconnect from network", ref, err)
}

func fromNetwork(n network.Network) Network {
	out := Network{ID: n.ID, Name: n.Name, Labels: n.Labels, Driver: n.Driver}
	for _, c := range n.IPAM.Config {
		if c.Subnet.IsValid() {
			out.Subnets = append(out.Subnets, c.Subnet)
		}
	}
	return out
}
