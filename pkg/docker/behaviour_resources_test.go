package docker_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

// resourceBehaviours are volumes, networks, ports and images.
func resourceBehaviours() map[string]behaviour {
	return map[string]behaviour{
		"a container needs its image": func(t *testing.T, l lab) {
			_, err := l.CreateContainer(t.Context(), docker.ContainerSpec{Name: l.name("c"), Image: l.name("none:v1")})
			wantKind(t, "create", err, "not-found")
			if s := l.state(t, "c"); s != "absent" {
				t.Errorf("a container was left: %s", s)
			}
		},
		"a published port has one holder": func(t *testing.T, l lab) {
			ctx := t.Context()
			l.network(t, "net", l.subnet)
			ports := []docker.Port{{Host: l.port, Bind: "127.0.0.1", Container: 80, Proto: "tcp"}}
			publish := func(s *docker.ContainerSpec) { s.Ports, s.Network = ports, l.name("net") }
			l.create(t, "a", serve, publish)
			l.create(t, "b", serve, publish)
			c, err := l.Container(ctx, l.name("a"))
			must(t, err)
			if diff := cmp.Diff(ports, c.Ports); diff != "" {
				t.Errorf("ports of a created container: %s", diff)
			}
			l.start(t, "a")
			err = l.StartContainer(ctx, l.name("b"))
			wantKind(t, "held by a container", err, "port-in-use")
			if port, _ := docker.PortOf(err); port != l.port {
				t.Errorf("port %d, want %d in %v", port, l.port, err)
			}
			if s := l.state(t, "b"); s != docker.StateCreated {
				t.Errorf("after the failed start: %s", s)
			}
			must(t, l.StopContainer(ctx, l.name("a"), 10*time.Second))
			l.hold(t, true)
			err = l.StartContainer(ctx, l.name("b"))
			wantKind(t, "held by a process", err, "port-in-use")
			if port, _ := docker.PortOf(err); port != l.port {
				t.Errorf("port %d, want %d in %v", port, l.port, err)
			}
			l.hold(t, false)
			l.start(t, "b")
		},
		"published ports are in the order of host ports": func(t *testing.T, l lab) {
			udp := docker.Port{Host: l.port, Bind: "0.0.0.0", Container: 90, Proto: "udp"}
			tcp := docker.Port{Host: l.port, Bind: "127.0.0.1", Container: 80, Proto: "tcp"}
			next := docker.Port{Host: l.port + 1, Bind: "127.0.0.1", Container: 70, Proto: "tcp"}
			id := l.create(t, "c", serve, func(s *docker.ContainerSpec) {
				s.Network, s.Ports = "bridge", []docker.Port{next, udp, tcp}
			})
			c, err := l.Container(t.Context(), id)
			must(t, err)
			if diff := cmp.Diff([]docker.Port{tcp, udp, next}, c.Ports); diff != "" {
				t.Error(diff)
			}
		},
		"a volume outlives its containers and keeps its labels": func(t *testing.T, l lab) {
			ctx, name := t.Context(), l.name("vol")
			must(t, l.CreateVolume(ctx, name, map[string]string{"whose": "ours"}))
			wantKind(t, "second volume", l.CreateVolume(ctx, name, map[string]string{"whose": "theirs"}), "conflict")
			mount := func(s *docker.ContainerSpec) { s.Volumes = map[string]string{"/var/lib/x": name} }
			l.create(t, "a", serve, mount)
			must(t, l.WriteFile(ctx, l.name("a"), "/var/lib/x/current/deep/f", 0o600, []byte("kept")))
			wantKind(t, "removal while a created container mounts it", l.RemoveVolume(ctx, name), "in-use")
			must(t, l.RemoveContainer(ctx, l.name("a")))
			l.create(t, "b", serve, mount)
			data, err := l.ReadFile(ctx, l.name("b"), "/var/lib/x/current/deep/f")
			if err != nil || string(data) != "kept" {
				t.Errorf("read %q, %v", data, err)
			}
			c, err := l.Container(ctx, l.name("b"))
			must(t, err)
			if diff := cmp.Diff(map[string]string{"/var/lib/x": name}, c.Volumes); diff != "" {
				t.Error(diff)
			}
			must(t, l.PurgeContainer(ctx, l.name("b")))
			v, err := l.Volume(ctx, name)
			if err != nil || v.Labels["whose"] != "ours" {
				t.Errorf("volume %+v, %v", v, err)
			}
			must(t, l.RemoveVolume(ctx, name))
			_, err = l.Volume(ctx, name)
			wantKind(t, "inspect", err, "not-found")
			wantKind(t, "second removal", l.RemoveVolume(ctx, name), "not-found")
		},
		"a volume a container names comes to be without labels": func(t *testing.T, l lab) {
			l.create(t, "a", serve, func(s *docker.ContainerSpec) { s.Volumes = map[string]string{"/data": l.name("vol")} })
			v, err := l.Volume(t.Context(), l.name("vol"))
			if err != nil || len(v.Labels) != 0 {
				t.Errorf("volume %+v, %v", v, err)
			}
		},
		"an empty volume stays empty whatever the image has there": func(t *testing.T, l lab) {
			ctx := t.Context()
			l.create(t, "plain", serve, nil)
			data, err := l.ReadFile(ctx, l.name("plain"), "/etc/motd")
			if err != nil || string(data) != "of the image\n" {
				t.Errorf("the image's file: %q, %v", data, err)
			}
			l.create(t, "mounted", serve, func(s *docker.ContainerSpec) { s.Volumes = map[string]string{"/etc": l.name("vol")} })
			_, err = l.ReadFile(ctx, l.name("mounted"), "/etc/motd")
			wantKind(t, "the image's file below a mount", err, "file-not-found not-found")
		},
		"a container cannot start when its network was removed": func(t *testing.T, l lab) {
			ctx := t.Context()
			l.network(t, "net", l.subnet)
			on := func(s *docker.ContainerSpec) { s.Network = l.name("net") }
			l.create(t, "ran", serve, on)
			l.create(t, "unborn", serve, on)
			l.start(t, "ran")
			n, err := l.Network(ctx, l.name("net"))
			must(t, err)
			if diff := cmp.Diff([]string{l.name("ran")}, n.Containers); diff != "" {
				t.Errorf("attached: %s", diff)
			}
			c, err := l.Container(ctx, l.name("ran"))
			must(t, err)
			if diff := cmp.Diff(map[string]string{l.name("net"): n.ID}, c.NetworkIDs); diff != "" {
				t.Errorf("network ids: %s", diff)
			}
			wantKind(t, "removal in use", l.RemoveNetwork(ctx, l.name("net")), "in-use")
			must(t, l.StopContainer(ctx, l.name("ran"), 10*time.Second), l.RemoveNetwork(ctx, l.name("net")))
			wantKind(t, "start of one that ran", l.StartContainer(ctx, l.name("ran")), "network-missing")
			wantKind(t, "start of one that never ran", l.StartContainer(ctx, l.name("unborn")), "network-missing")
			wantKind(t, "second removal", l.RemoveNetwork(ctx, l.name("net")), "not-found")

			l.network(t, "net", l.subnet)
			wantKind(t, "start after the network was made anew", l.StartContainer(ctx, l.name("ran")), "network-missing")
			l.start(t, "unborn") // bound to a network only by its first start
		},
		"a network's name and subnet are taken once": func(t *testing.T, l lab) {
			ctx := t.Context()
			l.network(t, "net", l.subnet)
			other := netip.PrefixFrom(l.subnet.Addr().Next(), 30).Masked()
			wantKind(t, "same name", l.CreateNetwork(ctx, l.name("net"), other, nil), "conflict")
			wantKind(t, "overlap", l.CreateNetwork(ctx, l.name("two"), other, nil), "subnet-taken")
			n, err := l.Network(ctx, l.name("net"))
			must(t, err)
			if n.Labels["lab"] != l.prefix || n.Driver != "bridge" || !slices.Equal(n.Subnets, []netip.Prefix{l.subnet}) {
				t.Errorf("network %+v", n)
			}
			_, err = l.Network(ctx, l.name("two"))
			wantKind(t, "inspect", err, "not-found")
		},
		"lists choose by label": func(t *testing.T, l lab) {
			ctx := t.Context()
			for _, n := range []string{"a", "b", "c"} {
				l.create(t, n, serve, func(s *docker.ContainerSpec) { s.Labels["odd"] = n })
				must(t, l.CreateVolume(ctx, l.name(n), map[string]string{"lab": l.prefix, "odd": n}))
			}
			cs, err := l.Containers(ctx, map[string]string{"lab": l.prefix, "odd": "b"})
			must(t, err)
			vs, err := l.Volumes(ctx, map[string]string{"lab": l.prefix, "odd": "c"})
			must(t, err)
			if len(cs) != 1 || cs[0].Name != l.name("b") || len(vs) != 1 || vs[0].Name != l.name("c") {
				t.Errorf("containers %v, volumes %v", cs, vs)
			}
			all, err := l.Containers(ctx, nil)
			must(t, err)
			var names []string
			for _, c := range all {
				if strings.HasPrefix(c.Name, l.prefix) {
					names = append(names, strings.TrimPrefix(c.Name, l.prefix))
				}
			}
			slices.Sort(names)
			if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" {
				t.Error(diff)
			}
			imgs, err := l.Images(ctx, map[string]string{"lab.image": l.image})
			must(t, err)
			if len(imgs) != 1 || !slices.Contains(imgs[0].Tags, l.image) {
				t.Errorf("images %+v", imgs)
			}
		},
		"an image is found by its tags and its id": func(t *testing.T, l lab) {
			ctx := t.Context()
			img, err := l.Image(ctx, l.image)
			must(t, err, l.TagImage(ctx, img.ID, l.name("img:v2")))
			for _, ref := range []string{img.ID, l.name("img:v2"), strings.TrimSuffix(l.image, ":latest")} {
				got, err := l.Image(ctx, ref)
				if err != nil || got.ID != img.ID || got.Labels["flavour"] != "plain" || got.Arch == "" || got.Size == 0 {
					t.Errorf("%s: %+v, %v", ref, got, err)
				}
			}
			_, err = l.Image(ctx, l.name("img:v3"))
			wantKind(t, "absent tag", err, "not-found")
			wantKind(t, "tag of an absent image", l.TagImage(ctx, l.name("img:v3"), l.name("img:v4")), "not-found")
			id := l.create(t, "c", serve, func(s *docker.ContainerSpec) { s.Image = img.ID })
			c, err := l.Container(ctx, id)
			must(t, err)
			if c.ImageID != img.ID {
				t.Errorf("image id %s, want %s", c.ImageID, img.ID)
			}
		},
		"a saved image can be loaded again": func(t *testing.T, l lab) {
			ctx := t.Context()
			img, err := l.Image(ctx, l.image)
			must(t, err)
			archive, err := l.SaveImage(ctx, img.ID)
			must(t, err)
			refs, err := l.LoadImage(ctx, archive, nil)
			must(t, err, archive.Close())
			if diff := cmp.Diff([]string{img.ID}, refs); diff != "" {
				t.Error(diff)
			}
			_, err = l.SaveImage(ctx, l.name("img:v3"))
			wantKind(t, "absent image", err, "not-found")
		},
		"an engine knows its endpoint": func(t *testing.T, l lab) {
			info, err := l.Info(t.Context())
			if err != nil || info.Endpoint != l.Endpoint() || !strings.Contains(l.Endpoint(), "://") {
				t.Errorf("%q, Info says %q, %v", l.Endpoint(), info.Endpoint, err)
			}
		},
	}
}
