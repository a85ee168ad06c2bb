package usercontainer

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Listing is what is known of a gateway's user containers.
type Listing struct {
	Containers []Container // by name
	Problem    error       // why the gateway was not asked; nil: it was
}

// List merges what Docker has with what the gateway knows. A gateway that does
// not answer is no error.
func (m *Manager) List(ctx context.Context, on gateway.Name) (Listing, error) {
	o := observed{on: on}
	if err := m.observeGateway(ctx, &o); err != nil {
		return Listing{}, asFault(ctx, err)
	}
	all, err := m.Engine.Containers(ctx, on.UserContainers())
	if err != nil {
		return Listing{}, asFault(ctx, err)
	}
	var out Listing
	var vpn edgeapi.VPN
	if out.Problem = o.needGateway(); out.Problem == nil {
		if vpn, err = m.vpn(ctx, o); err == nil {
			o.routes, err = m.routes(ctx, o)
		}
		if err == nil {
			o.scheme, err = m.scheme(ctx, o)
		}
		if ctx.Err() != nil {
			return Listing{}, asFault(ctx, err)
		}
		out.Problem = err
	}
	pairs := map[string]observed{}
	for i, c := range all {
		name := c.Labels[gateway.LabelContainer]
		pair, known := pairs[name]
		if !known {
			pair = o
			pair.name, pair.client = name, clientOf(vpn, name)
		}
		switch c.Name {
		case on.UserContainer(name):
			pair.user = &all[i]
		case on.Sidecar(name):
			pair.sidecar = &all[i]
		default:
			continue // somebody has renamed it
		}
		pairs[name] = pair
	}
	for i, client := range vpn.Clients {
		if _, known := pairs[client.Name]; !known {
			pair := o
			pair.name, pair.client = client.Name, &vpn.Clients[i]
			pairs[client.Name] = pair
		}
	}
	for _, pair := range pairs {
		out.Containers = append(out.Containers, pair.describe(out.Problem == nil))
	}
	slices.SortFunc(out.Containers, func(a, b Container) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Get is one container. It is the error of Remove where there is none.
func (m *Manager) Get(ctx context.Context, on gateway.Name, name string) (Container, error) {
	o, err := m.observe(ctx, on, name)
	if err != nil {
		return Container{}, asFault(ctx, err)
	}
	if !o.here() && o.client == nil {
		return Container{}, absent(o)
	}
	return o.describe(o.running()), nil
}

// describe is the container as users see it; asked says whether the gateway
// told what it knows.
func (o observed) describe(asked bool) Container {
	c := Container{Name: o.name, Gateway: o.on, Services: []Service{}}
	c.State, c.Message = o.word(asked)
	if o.user != nil {
		c.Docker, c.Image, c.Restarts = o.user.Name, o.user.ImageRef, o.user.Restarts
		at := o.user.CreatedAt.UTC().Truncate(time.Second)
		c.CreatedAt = &at
		if o.user.State == docker.StateExited {
			code := o.user.ExitCode
			c.ExitCode = &code
		}
		for _, s := range servicesOf(o.user.Labels) {
			c.Services = append(c.Services, o.service(s))
		}
	}
	if o.sidecar != nil {
		c.Sidecar = o.sidecar.Name
	}
	if o.client != nil {
		c.Connected = o.client.Connected
		if o.client.Address.IsValid() {
			c.Address = o.client.Address.String()
		}
		if o.user == nil {
			for _, s := range o.client.Services {
				c.Services = append(c.Services, o.service(Served{s.Host, s.Port}))
			}
		}
	}
	return c
}

// word is the state in one word, and what to do about it.
func (o observed) word(asked bool) (State, string) {
	again := "`openshell container start " + o.name + "` brings it back"
	switch {
	case !o.here():
		return Elsewhere, ""
	case !o.began():
		return Incomplete, "a run was interrupted: run it again, or `openshell container rm " + o.name + "`"
	case o.user.State == docker.StateRestarting:
		return Restarting, "see why: `docker logs " + o.user.Name + "`"
	case o.user.State == docker.StatePaused:
		return Paused, again
	case !up(o.user):
		return Stopped, again
	case o.detached():
		if o.sidecar == nil {
			return Detached, "its sidecar was removed: delete it, then run it again"
		}
		return Detached, again
	case !asked:
		return Offline, ""
	case o.client == nil || !o.client.Connected:
		return Joining, "if that lasts, " + again
	}
	return Running, ""
}

// service says where a service is reached, and how it is.
func (o observed) service(s Served) Service {
	out := Service{Name: s.Host, Port: s.Port}
	for _, r := range o.routes {
		own := o.client != nil && r.OwnerID == o.client.ID
		if r.Host == s.Host && own {
			out.State, out.Message = r.State, r.Message
		}
	}
	if o.running() && o.scheme != "" {
		out.URL, out.PathURL = urls(o.scheme, o.node.Ports, s.Host)
	}
	return out
}

// urls are where a browser of this host finds a service, best first; empty when
// the gateway does not publish its web port. A name below localhost always leads
// to the loopback; on another address there is the path alone.
func urls(scheme string, ports []docker.Port, host string) (best, path string) {
	for _, p := range ports {
		if p.Container != nodeapi.HTTPPort || p.Proto != "tcp" {
			continue
		}
		at, port := p.Bind, strconv.Itoa(p.Host)
		addr, err := netip.ParseAddr(at)
		if err != nil || addr.IsUnspecified() {
			at = "127.0.0.1"
		}
		path = scheme + "://" + net.JoinHostPort(at, port) + "/" + host + "/"
		if err != nil || addr.IsUnspecified() || addr.IsLoopback() {
			best = scheme + "://" + net.JoinHostPort(host+".localhost", port) + "/"
		}
		return cmp.Or(best, path), path
	}
	return "", ""
}
