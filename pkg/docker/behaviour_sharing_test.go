package docker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

// sharingBehaviours are containers that share a network, and networks that are
// made anew under containers.
func sharingBehaviours() map[string]behaviour {
	return map[string]behaviour{
		"a container shares the network of another that runs": func(t *testing.T, l lab) {
			ctx := t.Context()
			l.network(t, "net", l.subnet)
			owner := l.create(t, "owner", serve, func(s *docker.ContainerSpec) { s.Network = l.name("net") })
			id := l.create(t, "guest", serve, func(s *docker.ContainerSpec) { s.Network, s.NetworkOf = "", l.name("owner") })
			c, err := l.Container(ctx, id)
			must(t, err)
			if c.NetworkOf != owner || len(c.Networks) != 0 {
				t.Errorf("network of %q, on %q; want that of %s", c.NetworkOf, c.Networks, owner)
			}
			wantKind(t, "start before the owner", l.StartContainer(ctx, id), "not-running")
			if s := l.state(t, "guest"); s != docker.StateCreated {
				t.Errorf("after the failed start: %s", s)
			}
			l.start(t, "owner")
			l.start(t, "guest")
			n, err := l.Network(ctx, l.name("net"))
			must(t, err)
			if diff := cmp.Diff([]string{l.name("owner")}, n.Containers); diff != "" {
				t.Errorf("attached: %s", diff)
			}
			must(t, l.StopContainer(ctx, owner, 10*time.Second))
			if s := l.state(t, "guest"); s != docker.StateRunning {
				t.Errorf("when the owner ended: %s", s)
			}
			must(t, l.StopContainer(ctx, id, 10*time.Second))
			wantKind(t, "start after the owner ended", l.StartContainer(ctx, id), "not-running")
			must(t, l.RemoveContainer(ctx, owner))
			wantKind(t, "start without the owner", l.StartContainer(ctx, id), "not-found")
		},
		"a container that runs can be moved to a network made anew": func(t *testing.T, l lab) {
			ctx, net, ref := t.Context(), l.name("net"), l.name("c")
			l.network(t, "net", l.subnet)
			l.create(t, "c", serve, func(s *docker.ContainerSpec) { s.Network = net })
			l.start(t, "c")
			wantKind(t, "second connection", l.ConnectNetwork(ctx, net, ref), "conflict")
			must(t, l.DisconnectNetwork(ctx, net, ref), l.DisconnectNetwork(ctx, net, ref), l.RemoveNetwork(ctx, net))
			wantKind(t, "connection to an absent network", l.ConnectNetwork(ctx, net, ref), "not-found")
			l.network(t, "net", l.subnet)
			must(t, l.ConnectNetwork(ctx, net, ref))
			n, err := l.Network(ctx, net)
			must(t, err)
			c, err := l.Container(ctx, ref)
			must(t, err)
			if diff := cmp.Diff(map[string]string{net: n.ID}, c.NetworkIDs); diff != "" || c.State != docker.StateRunning {
				t.Errorf("%s, network ids: %s", c.State, diff)
			}
			wantKind(t, "absent container", l.ConnectNetwork(ctx, net, l.name("nobody")), "not-found")
		},
		"a container that ended can be moved to a network made anew": func(t *testing.T, l lab) {
			ctx, net, ref := t.Context(), l.name("net"), l.name("c")
			l.network(t, "net", l.subnet)
			l.create(t, "c", serve, func(s *docker.ContainerSpec) { s.Network = net })
			l.start(t, "c")
			must(t, l.StopContainer(ctx, ref, 10*time.Second), l.RemoveNetwork(ctx, net))
			l.network(t, "net", l.subnet)
			wantKind(t, "start on the old network", l.StartContainer(ctx, ref), "network-missing")
			must(t, l.DisconnectNetwork(ctx, net, ref), l.ConnectNetwork(ctx, net, ref))
			l.start(t, "c")
			must(t, l.StopContainer(ctx, ref, 10*time.Second), l.RemoveNetwork(ctx, net))
			must(t, l.DisconnectNetwork(ctx, net, ref)) // even from what is no more
			c, err := l.Container(ctx, ref)
			must(t, err)
			if len(c.Networks) != 0 {
				t.Errorf("still on %q", c.Networks)
			}
		},
	}
}
