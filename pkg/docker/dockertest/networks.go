package dockertest

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/docker"
)

func builtin(name string) bool { return name == "bridge" || name == "host" || name == "none" }

func builtinDriver(name string) string {
	if name == "none" {
		return "null"
	}
	return name
}

func (f *Fake) findNetwork(ref string) *docker.Network {
	for _, n := range f.networks {
		if n.Name == ref || n.ID == ref || (len(ref) >= 12 && strings.HasPrefix(n.ID, ref)) {
			return n
		}
	}
	return nil
}

func (f *Fake) viewNetwork(n *docker.Network) docker.Network {
	s := *n
	s.Labels, s.Subnets = copyMap(n.Labels), slices.Clone(n.Subnets)
	for _, c := range f.containers {
		if c.running() && slices.Contains(c.Networks, n.Name) {
			s.Containers = append(s.Containers, c.Name)
		}
	}
	return s
}

// Network implements docker.Engine.
func (f *Fake) Network(ctx context.Context, ref string) (docker.Network, error) {
	return do(ctx, f, Call{Op: "Network", Ref: ref}, func() (docker.Network, error) {
		n := f.findNetwork(ref)
		if n == nil {
			return docker.Network{}, docker.NewError(docker.NotFound, "inspect network", ref, "network %s not found", ref)
		}
		return f.viewNetwork(n), nil
	})
}

// Networks implements docker.Engine.
func (f *Fake) Networks(ctx context.Context) ([]docker.Network, error) {
	return do(ctx, f, Call{Op: "Networks"}, func() ([]docker.Network, error) {
		var out []docker.Network
		for _, n := range f.networks {
			v := f.viewNetwork(n)
			v.Containers = nil
			out = append(out, v)
		}
		return out, nil
	})
}

// CreateNetwork implements docker.Engine.
func (f *Fake) CreateNetwork(ctx context.Context, name string, subnet netip.Prefix, labels map[string]string) error {
	return do0(ctx, f, Call{Op: "CreateNetwork", Ref: name, Note: subnet.String()}, func() error {
		const op = "create network"
		if f.findNetwork(name) != nil {
			return docker.NewError(docker.Conflict, op, name, "network with name %s already exists", name)
		}
		for _, n := range f.networks {
			for _, s := range n.Subnets {
				if s.Overlaps(subnet) {
					return docker.NewError(docker.SubnetTaken, op, name, "Pool overlaps with other one on this address space")
				}
			}
		}
		f.networks = append(f.networks, &docker.Network{
			ID: f.id("network"), Name: name, Labels: copyMap(labels), Driver: "bridge", Subnets: []netip.Prefix{subnet},
		})
		return nil
	})
}

// RemoveNetwork implements docker.Engine. Only running containers keep it.
func (f *Fake) RemoveNetwork(ctx context.Context, ref string) error {
	return do0(ctx, f, Call{Op: "RemoveNetwork", Ref: ref}, func() error {
		const op = "remove network"
		n := f.findNetwork(ref)
		if n == nil {
			return docker.NewError(docker.NotFound, op, ref, "network %s not found", ref)
		}
		if builtin(n.Name) {
			return docker.NewError(docker.Other, op, ref, "%s is a pre-defined network and cannot be removed", n.Name)
		}
		if users := f.viewNetwork(n).Containers; len(users) > 0 {
			return docker.NewError(docker.InUse, op, ref, "network %s id %s has active endpoints", n.Name, n.ID)
		}
		f.networks = slices.DeleteFunc(f.networks, func(o *docker.Network) bool { return o == n })
		return nil
	})
}

// ConnectNetwork implements docker.Engine.
func (f *Fake) ConnectNetwork(ctx context.Context, ref, target string) error {
	return do0(ctx, f, Call{Op: "ConnectNetwork", Ref: ref, Note: target}, func() error {
		const op = "connect to network"
		c, err := f.get(op, target)
		if err != nil {
			return err
		}
		n := f.findNetwork(ref)
		if n == nil {
			return docker.NewError(docker.NotFound, op, ref, "network %s not found", ref)
		}
		on := slices.Contains(c.Networks, n.Name)
		if on && c.running() {
			return docker.NewError(docker.Conflict, op, ref, "endpoint with name %s already exists in network %s", c.Name, n.Name)
		}
		if !on {
			c.Networks = append(c.Networks, n.Name)
			slices.Sort(c.Networks)
			c.NetworkIDs[n.Name] = ""
		}
		if c.running() {
			c.NetworkIDs[n.Name] = n.ID
		}
		return nil
	})
}

// DisconnectNetwork implements docker.Engine. A container that does not run
// leaves a network that is no more.
func (f *Fake) DisconnectNetwork(ctx context.Context, ref, target string) error {
	return do0(ctx, f, Call{Op: "DisconnectNetwork", Ref: ref, Note: target}, func() error {
		const op = "disconnect from network"
		c, err := f.get(op, target)
		if err != nil {
			return err
		}
		name := ref
		if n := f.findNetwork(ref); n != nil {
			name = n.Name
		} else if c.running() || !slices.Contains(c.Networks, ref) {
			return docker.NewError(docker.NotFound, op, ref, "network %s not found", ref)
		}
		c.Networks = slices.DeleteFunc(c.Networks, func(on string) bool { return on == name })
		delete(c.NetworkIDs, name)
		return nil
	})
}

// DropNetwork removes a network by a user's hand, whoever uses it.
func (f *Fake) DropNetwork(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks = slices.DeleteFunc(f.networks, func(o *docker.Network) bool { return o.Name == name })
}
