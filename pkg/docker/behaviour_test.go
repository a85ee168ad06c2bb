package docker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

// lab is an engine, real or fake, with an image whose process is the probe.
type lab struct {
	docker.Engine
	image    string // "…:latest", labelled flavour=plain
	prefix   string // of every name a test makes
	subnet   netip.Prefix
	port     int                           // free
	hold     func(t *testing.T, held bool) // makes a process of the host hold port, or release it
	startLog string                        // what the probe logs when it serves
}

func (l lab) name(s string) string { return l.prefix + s }

// create makes a container that runs the probe with args.
func (l lab) create(t *testing.T, name string, args []string, change func(*docker.ContainerSpec)) string {
	t.Helper()
	spec := docker.ContainerSpec{
		Name: l.name(name), Image: l.image, Cmd: args, Network: "none", StopSignal: "SIGTERM",
		Labels: map[string]string{"lab": l.prefix}, StopTimeout: 10 * time.Second,
	}
	if change != nil {
		change(&spec)
	}
	id, err := l.CreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (l lab) start(t *testing.T, name string) {
	t.Helper()
	if err := l.StartContainer(t.Context(), l.name(name)); err != nil {
		t.Fatal(err)
	}
}

func (l lab) state(t *testing.T, name string) docker.ContainerState {
	t.Helper()
	c, err := l.Container(t.Context(), l.name(name))
	if docker.IsNotFound(err) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.State
}

func (l lab) network(t *testing.T, name string, subnet netip.Prefix) {
	t.Helper()
	if err := l.CreateNetwork(t.Context(), l.name(name), subnet, map[string]string{"lab": l.prefix}); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// kinds names the predicates that hold for err.
func kinds(err error) string {
	var out []string
	for name, is := range map[string]func(error) bool{
		"not-found": docker.IsNotFound, "file-not-found": docker.IsFileNotFound, "conflict": docker.IsConflict,
		"port-in-use": docker.IsPortInUse, "network-missing": docker.IsNetworkMissing, "subnet-taken": docker.IsSubnetTaken,
		"no-space": docker.IsNoSpace, "in-use": docker.IsInUse, "not-running": docker.IsNotRunning,
		"unreachable": docker.IsUnreachable,
		"canceled":    func(err error) bool { return errors.Is(err, context.Canceled) },
	} {
		if is(err) {
			out = append(out, name)
		}
	}
	if err == nil {
		return "none"
	}
	if len(out) == 0 {
		return "other"
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func wantKind(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := kinds(err); got != want {
		t.Errorf("%s: error kinds %q, want %q (%v)", what, got, want, err)
	}
}

var serve = []string{"serve"}

// behaviours hold for the real engine and for the fake.
var behaviours = map[string]func(*testing.T, lab){
	"a container goes through its states": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", serve, func(s *docker.ContainerSpec) { s.Hostname, s.RestartPolicy = "node-x", "unless-stopped" })
		var states []docker.ContainerState
		note := func(errs ...error) { t.Helper(); must(t, errs...); states = append(states, l.state(t, "c")) }
		note()
		c, err := l.Container(ctx, id)
		must(t, err)
		if c.Name != l.name("c") || c.Hostname != "node-x" || c.ImageRef != l.image || c.RestartPolicy != "unless-stopped" ||
			c.Labels["lab"] != l.prefix || c.Labels["flavour"] != "plain" || !c.StartedAt.IsZero() {
			t.Errorf("created: %+v", c)
		}
		note(l.StartContainer(ctx, id), l.StartContainer(ctx, id))
		note(l.PauseContainer(ctx, id))
		note(l.UnpauseContainer(ctx, id))
		note(l.StopContainer(ctx, id, 10*time.Second), l.StopContainer(ctx, id, time.Second))
		c, err = l.Container(ctx, id)
		must(t, err)
		if c.ExitCode != 0 || c.StartedAt.IsZero() {
			t.Errorf("stopped: exit code %d, started at %v", c.ExitCode, c.StartedAt)
		}
		note(l.StartContainer(ctx, id))
		note(l.RemoveContainer(ctx, id))
		want := []docker.ContainerState{"created", "running", "paused", "running", "exited", "running", "absent"}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Error(diff)
		}
	},
	"a call on an absent container is not found": func(t *testing.T, l lab) {
		ctx, ref := t.Context(), l.name("nobody")
		_, inspect := l.Container(ctx, ref)
		_, read := l.ReadFile(ctx, ref, "/x")
		_, exec := l.Exec(ctx, ref, docker.ExecSpec{Argv: []string{"/probe", "exit", "0"}})
		_, stream := l.ExecStream(ctx, ref, []string{"/probe", "echo"})
		_, logs := l.Logs(ctx, ref, docker.LogOptions{})
		_, wait := l.WaitContainer(ctx, ref)
		for what, err := range map[string]error{
			"inspect": inspect, "read": read, "exec": exec, "stream": stream, "logs": logs, "wait": wait,
			"start": l.StartContainer(ctx, ref), "stop": l.StopContainer(ctx, ref, 0), "pause": l.PauseContainer(ctx, ref),
			"unpause": l.UnpauseContainer(ctx, ref), "remove": l.RemoveContainer(ctx, ref),
			"policy": l.SetRestartPolicy(ctx, ref, "no"), "write": l.WriteFile(ctx, ref, "/x", 0o600, nil),
		} {
			wantKind(t, what, err, "not-found")
		}
		wantKind(t, "wait for removal", l.WaitRemoved(ctx, ref), "none")
	},
	"a name is taken once": func(t *testing.T, l lab) {
		l.create(t, "c", serve, nil)
		_, err := l.CreateContainer(t.Context(), docker.ContainerSpec{Name: l.name("c"), Image: l.image, Cmd: serve})
		wantKind(t, "second container", err, "conflict")
	},
	"a container needs its image": func(t *testing.T, l lab) {
		_, err := l.CreateContainer(t.Context(), docker.ContainerSpec{Name: l.name("c"), Image: l.name("none:v1")})
		wantKind(t, "create", err, "not-found")
		if s := l.state(t, "c"); s != "absent" {
			t.Errorf("a container was left: %s", s)
		}
	},
	"a paused container can be stopped and not started": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", serve, nil)
		wantKind(t, "pause of a created one", l.PauseContainer(ctx, id), "not-running")
		l.start(t, "c")
		wantKind(t, "unpause of a running one", l.UnpauseContainer(ctx, id), "other")
		must(t, l.PauseContainer(ctx, id))
		wantKind(t, "start", l.StartContainer(ctx, id), "other")
		_, err := l.Exec(ctx, id, docker.ExecSpec{Argv: []string{"/probe", "exit", "0"}})
		wantKind(t, "exec", err, "not-running")
		must(t, l.StopContainer(ctx, id, 0))
		if s := l.state(t, "c"); s != docker.StateExited {
			t.Errorf("state %s", s)
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
	"a volume outlives its containers and keeps its labels": func(t *testing.T, l lab) {
		ctx, name := t.Context(), l.name("vol")
		must(t, l.CreateVolume(ctx, name, map[string]string{"whose": "ours"}), l.CreateVolume(ctx, name, map[string]string{"whose": "theirs"}))
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
		must(t, l.RemoveContainer(ctx, l.name("b")))
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
	"files are read and written in a container that never ran": func(t *testing.T, l lab) {
		ctx, ref := t.Context(), l.name("c")
		l.create(t, "c", serve, nil)
		must(t, l.WriteFile(ctx, ref, "/a/b/f", 0o640, []byte("one")), l.WriteFile(ctx, ref, "/a/b/f", 0o600, []byte("two")))
		data, err := l.ReadFile(ctx, ref, "/a/b/f")
		if err != nil || string(data) != "two" {
			t.Errorf("read %q, %v", data, err)
		}
		must(t, l.WriteFile(ctx, ref, "/a/empty", 0o600, nil), l.WriteFile(ctx, ref, "/a/big", 0o600, make([]byte, 1<<20)),
			l.WriteFile(ctx, ref, "/a/bigger", 0o600, make([]byte, 1<<20+1)))
		if data, err := l.ReadFile(ctx, ref, "/a/empty"); err != nil || len(data) != 0 {
			t.Errorf("empty file: %q, %v", data, err)
		}
		if data, err := l.ReadFile(ctx, ref, "/a/big"); err != nil || len(data) != 1<<20 {
			t.Errorf("file of 1 MiB: %d bytes, %v", len(data), err)
		}
		read := func(p string) error { _, err := l.ReadFile(ctx, ref, p); return err }
		wantKind(t, "too big", read("/a/bigger"), "other")
		wantKind(t, "a directory", read("/a/b"), "other")
		wantKind(t, "absent", read("/a/nothing"), "file-not-found not-found")
		wantKind(t, "absent parent", read("/nothing/nothing"), "file-not-found not-found")
		wantKind(t, "over a directory", l.WriteFile(ctx, ref, "/a/b", 0o600, nil), "other")
		wantKind(t, "below a file", l.WriteFile(ctx, ref, "/a/b/f/g", 0o600, nil), "other")
		wantKind(t, "relative", l.WriteFile(ctx, ref, "a", 0o600, nil), "other")
	},
	"a process's exit code is waited for": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", []string{"exit", "7"}, nil)
		code, err := l.WaitContainer(ctx, id)
		if err != nil || code != 0 {
			t.Errorf("before the start: %d, %v", code, err)
		}
		l.start(t, "c")
		code, err = l.WaitContainer(ctx, id)
		if err != nil || code != 7 {
			t.Errorf("wait: %d, %v", code, err)
		}
	},
	"a container with auto-remove goes with its process": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", []string{"exit", "0"}, func(s *docker.ContainerSpec) { s.AutoRemove = true })
		l.start(t, "c")
		must(t, l.WaitRemoved(ctx, id))
		if s := l.state(t, "c"); s != "absent" {
			t.Errorf("state %s", s)
		}
	},
	"the restart policy of a container can be changed": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", serve, nil)
		before, err := l.Container(ctx, id)
		must(t, err, l.SetRestartPolicy(ctx, id, "unless-stopped"))
		after, err := l.Container(ctx, id)
		must(t, err)
		if diff := cmp.Diff([]string{"no", "unless-stopped"}, []string{before.RestartPolicy, after.RestartPolicy}); diff != "" {
			t.Error(diff)
		}
	},
	"logs have both streams, a tail, and end with the container": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", serve, nil)
		l.start(t, "c")
		r, err := l.Logs(ctx, id, docker.LogOptions{Follow: true})
		must(t, err)
		buf := make([]byte, len(l.startLog))
		_, err = io.ReadFull(r, buf)
		must(t, err, l.StopContainer(ctx, id, 10*time.Second))
		rest, err := io.ReadAll(r)
		must(t, err, r.Close())
		lines := strings.Split(strings.TrimSpace(string(buf)+string(rest)), "\n")
		slices.Sort(lines)
		if diff := cmp.Diff([]string{"ready", "warned"}, lines); diff != "" {
			t.Error(diff)
		}
		r, err = l.Logs(ctx, id, docker.LogOptions{Tail: 1})
		must(t, err)
		last, err := io.ReadAll(r)
		must(t, err, r.Close())
		if strings.Count(string(last), "\n") != 1 {
			t.Errorf("tail %q", last)
		}
	},
	"a command has its streams and its exit code": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", serve, nil)
		_, err := l.Exec(ctx, id, docker.ExecSpec{Argv: []string{"/probe", "exit", "0"}})
		wantKind(t, "exec in a created container", err, "not-running")
		_, err = l.ExecStream(ctx, id, []string{"/probe", "echo"})
		wantKind(t, "stream of a created container", err, "not-running")
		l.start(t, "c")
		var out, errs bytes.Buffer
		code, err := l.Exec(ctx, id, docker.ExecSpec{
			Argv: []string{"/probe", "echo"}, Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errs,
		})
		if err != nil || code != 0 || out.String() != "hello" || errs.String() != "end\n" {
			t.Errorf("echo: %d, %v, %q, %q", code, err, &out, &errs)
		}
		code, err = l.Exec(ctx, id, docker.ExecSpec{Argv: []string{"/probe", "exit", "3"}})
		if err != nil || code != 3 {
			t.Errorf("exit 3: %d, %v", code, err)
		}
	},
	"a stream carries bytes both ways and can be half closed": func(t *testing.T, l lab) {
		ctx := t.Context()
		id := l.create(t, "c", serve, nil)
		l.start(t, "c")
		s, err := l.ExecStream(ctx, id, []string{"/probe", "echo"})
		must(t, err)
		for _, word := range []string{"one", "two"} {
			_, err := io.WriteString(s, word)
			must(t, err)
			back := make([]byte, len(word))
			_, err = io.ReadFull(s, back)
			must(t, err)
			if string(back) != word {
				t.Errorf("%q came back as %q", word, back)
			}
		}
		must(t, s.(interface{ CloseWrite() error }).CloseWrite())
		rest, err := io.ReadAll(s)
		must(t, err, s.Close())
		if len(rest) != 0 {
			t.Errorf("rest %q: stderr must not be in the stream", rest)
		}
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
	"a call whose context has ended says so": func(t *testing.T, l lab) {
		ctx, cancel := context.WithCancel(t.Context())
		id := l.create(t, "c", serve, nil)
		l.start(t, "c")
		wait := make(chan error, 1)
		go func() { _, err := l.WaitContainer(ctx, id); wait <- err }()
		removed := make(chan error, 1)
		go func() { removed <- l.WaitRemoved(ctx, id) }()
		cancel()
		wantKind(t, "wait", <-wait, "canceled")
		wantKind(t, "wait for removal", <-removed, "canceled")
		_, err := l.Container(ctx, id)
		wantKind(t, "inspect", err, "canceled")
	},
}

func runBehaviours(t *testing.T, newLab func(t *testing.T) lab) {
	for _, name := range slices.Sorted(maps.Keys(behaviours)) {
		t.Run(name, func(t *testing.T) { behaviours[name](t, newLab(t)) })
	}
}
