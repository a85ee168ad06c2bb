package bootstrap

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

var update = flag.Bool("update", false, "write the golden files and seccomp.json")

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

const (
	testName  = gateway.Name("dev")
	testImage = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
)

func nodeImage(id, version string, tags ...string) docker.Image {
	return docker.Image{ID: id, Tags: tags, CreatedAt: noon, Labels: map[string]string{imageLabel: imageKind, imageVersionLabel: version}}
}

// settled is what gateway.json of the test's gateway holds.
func settled() gateway.Settings {
	at := noon.Add(-24 * time.Hour)
	return gateway.Settings{
		Version: 1, Name: testName, Port: 8080, Bind: "127.0.0.1", HTTPPort: 7100,
		Network: gateway.Network{
			Subnet:      netip.MustParsePrefix("10.208.32.0/24"),
			PodCIDR:     netip.MustParsePrefix("10.208.0.0/20"),
			ServiceCIDR: netip.MustParsePrefix("10.208.16.0/20"),
		},
		Image:     gateway.Image{Ref: "openshell/cluster:v0.3.0", ID: testImage, Version: "v0.3.0"},
		CreatedAt: at, Initialized: &at,
	}
}

func labels() map[string]string { return testName.Labels("v0.3.0") }

// bare is a host with the node image and nothing of the gateway.
func bare() Observed {
	img := nodeImage(testImage, "v0.3.0", "openshell/cluster:v0.3.0")
	return Observed{
		Name: testName, At: noon, FreeHTTP: 7100, NoneActive: true,
		Engine: &docker.Info{OS: "linux", CgroupVersion: 2, NCPU: 4, MemTotal: 8 << 30, StorageDriver: "overlay2", SystemTime: noon},
		Image:  &img, ImageRef: "openshell/cluster:v0.3.0", Images: []docker.Image{img},
		Ranges: []TakenRange{{netip.MustParsePrefix("172.17.0.0/16"), "network bridge"}, {netip.MustParsePrefix("192.168.1.0/24"), "interface wlan0"}},
	}
}

// suspended has a volume and a network, and no container.
func suspended() Observed {
	o := bare()
	o.Active, o.NoneActive = testName, false
	o.Volume = &docker.Volume{Name: testName.Resource(), Labels: labels()}
	o.Network = &docker.Network{ID: "net1", Name: testName.Resource(), Labels: labels(), Subnets: []netip.Prefix{settled().Network.Subnet}}
	o.Content, o.Settings = ContentSettings, settled()
	o.Image, o.ImageRef = nil, ""
	return o
}

// in has a container in the state.
func in(state docker.ContainerState) Observed {
	o := suspended()
	spec := containerSpec(o.Settings, labels())
	o.Container = &docker.Container{
		ID: "c1", Name: spec.Name, State: state, Labels: spec.Labels, Hostname: spec.Hostname, ImageID: testImage,
		RestartPolicy: restartPolicy, Networks: []string{spec.Network}, NetworkIDs: map[string]string{spec.Network: "net1"},
		Volumes: spec.Volumes, Ports: spec.Ports, StartedAt: noon.Add(-time.Hour), CreatedAt: noon.Add(-time.Hour),
	}
	if state == docker.StateRunning {
		o.Healthy = true
	}
	return o
}

// with changes a snapshot.
func with(o Observed, change func(*Observed)) Observed {
	if o.Container != nil {
		c := *o.Container
		o.Container = &c
	}
	change(&o)
	return o
}

func never(o Observed) Observed {
	o.Settings.Initialized = nil
	img := o.Images[0]
	o.Image, o.ImageRef = &img, img.Tags[0]
	return o
}

type scene struct {
	name string
	o    Observed
	opts StartOptions
}

// scenes are the variants that every state is tried in.
func scenes(o Observed) []scene {
	recreated := with(o, func(o *Observed) {
		img := o.Images[0]
		o.Image, o.ImageRef = &img, img.Tags[0]
	})
	p := func(set func(*StartOptions)) StartOptions {
		var s StartOptions
		set(&s)
		return s
	}
	return []scene{
		{"plain", o, StartOptions{}},
		{"--recreate", recreated, StartOptions{Recreate: true}},
		{"--port 9000", o, p(func(s *StartOptions) { s.Port = ptr(9000) })},
		{"--bind 0.0.0.0", o, p(func(s *StartOptions) { s.Bind = ptr("0.0.0.0") })},
		{"--gateway-host box.lan", o, p(func(s *StartOptions) { s.GatewayHosts = ptr([]string{"box.lan"}) })},
		{"--http-port 0", o, p(func(s *StartOptions) { s.HTTPPort = ptr(0) })},
		{"--http-tls", o, p(func(s *StartOptions) { s.HTTPTLS = ptr(true) })},
		{"--vpn-port 49101", o, p(func(s *StartOptions) { s.VPNPort = ptr(49101) })},
		{"--cpus 1.5", o, p(func(s *StartOptions) { s.CPUs = ptr(1.5) })},
		{"--memory 2GiB", o, p(func(s *StartOptions) { s.Memory = ptr(int64(2 << 30)) })},
		{"--port 8080, as it is", o, p(func(s *StartOptions) { s.Port = ptr(8080) })},
	}
}

func ptr[T any](v T) *T { return &v }

// The golden files hold a plan for every row of the state table of the
// contract, and in every row for every flag that may differ.
func TestPlanForEveryState(t *testing.T) {
	states := map[string]Observed{
		"absent":             bare(),
		"suspended":          suspended(),
		"unborn-volume":      never(suspended()),
		"unborn-empty":       with(never(suspended()), func(o *Observed) { o.Content, o.Settings = ContentEmpty, gateway.Settings{} }),
		"unborn-created":     never(in(docker.StateCreated)),
		"unborn-exited":      never(in(docker.StateExited)),
		"unborn-with-asides": with(never(in(docker.StateExited)), func(o *Observed) { o.Asides = []string{"aside-20260101T000000Z"} }),
		"unborn-asides-alone": with(never(suspended()), func(o *Observed) {
			o.Content, o.Settings, o.Asides = ContentEmpty, gateway.Settings{}, []string{"aside-20260101T000000Z", "aside-20260102T000000Z"}
		}),
		"stopped":               in(docker.StateExited),
		"stopped-created":       in(docker.StateCreated),
		"broken":                with(in(docker.StateExited), func(o *Observed) { o.Volume, o.Content, o.Settings = nil, ContentUnknown, gateway.Settings{} }),
		"broken-damaged":        with(in(docker.StateExited), func(o *Observed) { o.Content, o.Damage = ContentDamaged, errors.New("gateway.json: unexpected end") }),
		"running":               in(docker.StateRunning),
		"starting":              with(in(docker.StateRunning), func(o *Observed) { o.Healthy, o.Node = false, &nodeapi.Status{Phase: nodeapi.Booting} }),
		"starting-never-born":   with(in(docker.StateRunning), func(o *Observed) { o.Healthy, o.Container.StartedAt, o.Settings.Initialized = false, noon, nil }),
		"degraded":              with(in(docker.StateRunning), func(o *Observed) { o.Healthy, o.Node = false, &nodeapi.Status{Phase: nodeapi.Degraded} }),
		"degraded-failed":       with(in(docker.StateRunning), func(o *Observed) { o.Healthy, o.Node = false, &nodeapi.Status{Phase: nodeapi.Failed} }),
		"degraded-silent":       with(in(docker.StateRunning), func(o *Observed) { o.Healthy = false }),
		"crashlooping":          with(in(docker.StateRestarting), func(o *Observed) { o.Container.Restarts, o.LastLine = 7, "etcd: disk quota exceeded" }),
		"paused":                in(docker.StatePaused),
		"removing":              in(docker.StateRemoving),
		"dead":                  in(docker.StateDead),
		"foreign-container":     with(in(docker.StateRunning), func(o *Observed) { o.Container.Labels = nil }),
		"foreign-volume":        with(suspended(), func(o *Observed) { o.Volume.Labels = map[string]string{gateway.LabelGateway: "other"} }),
		"foreign-network":       with(bare(), func(o *Observed) { o.Network = &docker.Network{Name: testName.Resource()} }),
		"unknown":               in("half-way"),
		"suspended-helper-left": with(suspended(), func(o *Observed) { o.Helper = true }),
	}
	for name, o := range states {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, s := range scenes(o) {
				s.opts.Name = testName
				b.WriteString(describe(s))
			}
			golden(t, name, b.String())
		})
	}
}

// describe is a scene and its plan or refusal as text.
func describe(s scene) string {
	s.opts.Name = testName
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n", s.name)
	p, err := Decide(s.o, s.opts)
	var e *fault.Error
	switch {
	case errors.As(err, &e):
		fmt.Fprintf(&b, "refused: %s, exit %d: %s\n", e.ID, e.Exit, e.Error())
		for _, h := range e.Hints {
			fmt.Fprintf(&b, "hint: %s\n", h)
		}
	case err != nil:
		fmt.Fprintf(&b, "error: %v\n", err)
	default:
		b.WriteString(p.String())
		if p.Settings.Name != "" {
			fmt.Fprintf(&b, "settings: %s\n", summary(p.Settings))
		}
	}
	b.WriteString("\n")
	return b.String()
}

func summary(s gateway.Settings) string {
	http := portWord(s.HTTPPort)
	if s.HTTPTLS {
		http += " with tls"
	}
	return fmt.Sprintf("port %d, bind %s, http %s, vpn %s, hosts %s, cpus %s, memory %s, subnet %s, pods %s, services %s, image %s %s",
		s.Port, s.Bind, http, portWord(s.VPNPort), list(s.GatewayHosts), cpuWord(s.CPUs), memoryWord(s.Memory),
		s.Network.Subnet, s.Network.PodCIDR, s.Network.ServiceCIDR, shortID(s.Image.ID), s.Image.Version)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "plans", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
