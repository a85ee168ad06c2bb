package bootstrap

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
)

// The ports from which the web port of a new gateway is chosen.
const (
	firstHTTPPort = 7100
	lastHTTPPort  = 7199
)

// observeSurroundings looks at what a plan needs beyond the gateway itself:
// nothing when the container just runs on, everything for a fresh start.
func (m *Manager) observeSurroundings(ctx context.Context, o *Observed, opts StartOptions) error {
	word := o.Word()
	_, changes := opts.apply(o.Settings)
	fresh := opts.Recreate || word == Absent || word == Unborn
	switch {
	case word == Removing, word == Unknown, word == Broken && !fresh:
		return nil
	case o.up() && !fresh && len(changes) == 0 && opts.Image == "":
		return nil
	}
	o.ImageRef = m.imageRef(o, opts, fresh)
	ports := portsOf(*o, opts, fresh)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if o.ImageRef != "" {
			o.Image, err = present(m.Engine.Image(ctx, o.ImageRef))
		}
		return err
	})
	g.Go(func() (err error) {
		if !fresh && o.Images == nil {
			o.Images, err = m.Engine.Images(ctx, map[string]string{imageLabel: imageKind})
		}
		return err
	})
	g.Go(func() (err error) {
		o.Ranges, err = m.takenRanges(ctx, o.Network)
		o.Ranges = append(o.Ranges, opts.avoid.ranges...)
		return err
	})
	g.Go(func() (err error) {
		if ports.choose {
			o.FreeHTTP, err = m.freeHTTPPort(ctx, ports.want, opts.avoid.ports)
		}
		return err
	})
	g.Go(func() (err error) {
		o.Ports, err = m.takenPorts(ctx, ports)
		return err
	})
	o.NotLocal = !m.System.HasAddress(ports.want.Bind)
	if fresh || ports.want.CPUs != 0 {
		g.Go(func() error {
			info, err := m.Engine.Info(ctx)
			o.Engine = &info
			return err
		})
	}
	return g.Wait()
}

// imageRef names the image to look up: the one asked for, or for a fresh start
// the one it was begun with, or the default.
func (m *Manager) imageRef(o *Observed, opts StartOptions, fresh bool) string {
	switch {
	case opts.Image != "" || !fresh:
		return opts.Image
	case o.Word() == Unborn && o.Settings.Image.Ref != "":
		return o.Settings.Image.Ref
	}
	return m.defaultImageRef()
}

// takenRanges are the address ranges of other networks and of this host. The
// gateway's own network and its bridge are left out.
func (m *Manager) takenRanges(ctx context.Context, own *docker.Network) ([]TakenRange, error) {
	networks, err := m.Engine.Networks(ctx)
	if err != nil {
		return nil, err
	}
	host, err := m.System.Ranges()
	if err != nil {
		return nil, fmt.Errorf("routes of this host: %w", err)
	}
	var out []TakenRange
	of := map[netip.Prefix]bool{}
	for _, n := range networks {
		for _, p := range n.Subnets {
			of[p] = true
			if own == nil || n.ID != own.ID {
				out = append(out, TakenRange{p, "network " + n.Name})
			}
		}
	}
	for _, r := range host {
		if of[r.Prefix] && bridge(r.Interface) {
			continue // the host's side of a Docker network
		}
		by := "a route of this host"
		if r.Interface != "" {
			by = "interface " + r.Interface
		}
		out = append(out, TakenRange{r.Prefix, by})
	}
	return out, nil
}

// bridge reports whether Docker may have made the interface for a network.
func bridge(name string) bool {
	return name == "" || strings.HasPrefix(name, "br-") || strings.HasPrefix(name, "docker")
}

// portQuestion is which ports to look at.
type portQuestion struct {
	want   gateway.Settings
	choose bool          // a port for nginx has to be found
	own    []docker.Port // held by the gateway itself at present
}

func portsOf(o Observed, opts StartOptions, fresh bool) portQuestion {
	q := portQuestion{}
	q.want, _ = opts.apply(o.Settings)
	if fresh && (o.Word() != Unborn || o.Content != ContentSettings) {
		q.want = opts.fresh(0)
	}
	q.choose = fresh && opts.HTTPPort == nil && q.want.HTTPPort == 0
	if o.up() {
		q.own = o.Container.Ports
	}
	return q
}

// takenPorts finds out which of the wanted ports are held by others.
func (m *Manager) takenPorts(ctx context.Context, q portQuestion) ([]TakenPort, error) {
	var out []TakenPort
	for _, p := range publishedPorts(q.want) {
		if slices.ContainsFunc(q.own, func(own docker.Port) bool { return own.Host == p.Host && own.Proto == p.Proto }) {
			continue
		}
		by, taken := m.System.PortHolder(p.Bind, p.Host, p.Proto)
		if !taken {
			continue
		}
		container, err := m.publisherOf(ctx, p)
		if err != nil {
			return nil, err
		}
		if container != "" {
			by = "container " + container
		}
		out = append(out, TakenPort{p.Host, p.Proto, by})
	}
	return out, nil
}

// publisherOf names the running container that publishes a port; empty: none.
func (m *Manager) publisherOf(ctx context.Context, port docker.Port) (string, error) {
	containers, err := m.Engine.Containers(ctx, nil)
	if err != nil {
		return "", err
	}
	for _, c := range containers {
		if c.State == docker.StateExited || c.State == docker.StateCreated {
			continue
		}
		for _, p := range c.Ports {
			if p.Host == port.Host && p.Proto == port.Proto {
				return c.Name, nil
			}
		}
	}
	return "", nil
}

// freeHTTPPort is a port that nobody listens on, no container is configured
// with and no other gateway remembers. 0: there is none.
func (m *Manager) freeHTTPPort(ctx context.Context, want gateway.Settings, avoid []int) (int, error) {
	containers, err := m.Engine.Containers(ctx, nil)
	if err != nil {
		return 0, err
	}
	used := map[int]bool{want.Port: true}
	for _, port := range avoid {
		used[port] = true
	}
	for _, c := range containers {
		for _, p := range c.Ports {
			if c.Name != want.Name.Resource() {
				used[p.Host] = true
			}
		}
	}
	names, err := m.Host.Names()
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		// A hint only: metadata that cannot be read costs no more than a port
		// that is found taken later.
		if meta, err := m.Host.Metadata(name); err == nil && name != want.Name {
			used[meta.HTTPPort] = true
		}
	}
	for port := firstHTTPPort; port <= lastHTTPPort; port++ {
		if used[port] {
			continue
		}
		if _, taken := m.System.PortHolder(want.Bind, port, "tcp"); !taken {
			return port, nil
		}
	}
	return 0, nil
}
