package bootstrap

import (
	"net/netip"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// The golden file of a rule holds the plans that follow from it.
func TestPlanForEveryRule(t *testing.T) {
	older := nodeImage("sha256:2222", "v0.2.9", "openshell/cluster:v0.2.9")
	newer := nodeImage("sha256:3333", "v0.4.0", "openshell/cluster:v0.4.0")
	rebuilt := nodeImage("sha256:4444", "v0.3.0", "openshell/cluster:v0.3.0")
	notNode := docker.Image{ID: "sha256:5555", Tags: []string{"debian:12"}}
	vpn := TakenRange{netip.MustParsePrefix("10.208.32.0/20"), "interface tun0"}
	stopped, running := in(docker.StateExited), in(docker.StateRunning)

	rules := map[string][]scene{
		"image": {
			{"volume only, image there", suspended(), StartOptions{}},
			{"pitfall 11: container there, image tag gone", with(stopped, func(o *Observed) { o.Images = nil }), StartOptions{}},
			{"volume only, only another build of the version", with(suspended(), func(o *Observed) { o.Images = []docker.Image{rebuilt} }), StartOptions{}},
			{"volume only, only an older image", with(suspended(), func(o *Observed) { o.Images = []docker.Image{older} }), StartOptions{}},
			{"volume only, only a newer image", with(suspended(), func(o *Observed) { o.Images = []docker.Image{newer} }), StartOptions{}},
			{"volume only, no image", with(suspended(), func(o *Observed) { o.Images, o.Content = nil, ContentUnknown }), StartOptions{}},
			{"volume only, no image, an archive", with(suspended(), func(o *Observed) { o.Images, o.Content = nil, ContentUnknown }), StartOptions{ImageArchive: "node.tar"}},
			{"volume only, a newer image, an archive", with(suspended(), func(o *Observed) { o.Images = []docker.Image{newer} }), StartOptions{ImageArchive: "node.tar"}},
			{"stopped, --image older", with(stopped, func(o *Observed) { o.Image, o.ImageRef = &older, older.Tags[0] }), StartOptions{Image: "openshell/cluster:v0.2.9"}},
			{"stopped, --image newer", with(stopped, func(o *Observed) { o.Image, o.ImageRef = &newer, newer.Tags[0] }), StartOptions{Image: "openshell/cluster:v0.4.0"}},
			{"stopped, --image not there", stopped, StartOptions{Image: "openshell/cluster:v0.3.O"}},
			{"stopped, an archive that is not needed", stopped, StartOptions{ImageArchive: "node.tar"}},
			{"volume only, --image is another build of the version", with(suspended(), func(o *Observed) {
				o.Image, o.ImageRef, o.Images = &rebuilt, rebuilt.Tags[0], []docker.Image{rebuilt}
			}), StartOptions{Image: "openshell/cluster:v0.3.0"}},
			{"fresh, image not there", with(bare(), func(o *Observed) { o.Image = nil }), StartOptions{}},
			{"fresh, an archive", bare(), StartOptions{ImageArchive: "node.tar"}},
			{"fresh, not a node image", with(bare(), func(o *Observed) { o.Image, o.ImageRef = &notNode, "debian:12" }), StartOptions{Image: "debian:12"}},
		},
		"network": {
			{"pitfall 1: removed while stopped", with(stopped, func(o *Observed) { o.Network = nil }), StartOptions{}},
			{"removed with the container", with(suspended(), func(o *Observed) { o.Network = nil }), StartOptions{}},
			{"pitfall 2: removed and its range taken", with(suspended(), func(o *Observed) { o.Network = nil; o.Ranges = append(o.Ranges, vpn) }), StartOptions{}},
			{"pitfall 2: there, but its range taken by a VPN", with(stopped, func(o *Observed) { o.Ranges = append(o.Ranges, vpn) }), StartOptions{}},
			{"range taken, but others use the network", with(stopped, func(o *Observed) {
				o.Ranges = append(o.Ranges, vpn)
				n := *o.Network
				n.Containers = []string{"web"}
				o.Network = &n
			}), StartOptions{}},
			{"range taken, and none but sidecars use the network", with(stopped, func(o *Observed) {
				o.Ranges = append(o.Ranges, vpn)
				n := *o.Network
				n.Containers = []string{testName.Sidecar("web")}
				o.Network = &n
			}), StartOptions{}},
			{"made anew by somebody", with(stopped, func(o *Observed) { n := *o.Network; n.ID = "net2"; o.Network = &n }), StartOptions{}},
			{"another range than recorded", with(suspended(), func(o *Observed) {
				n := *o.Network
				n.Subnets = []netip.Prefix{netip.MustParsePrefix("10.208.40.0/24")}
				o.Network = &n
			}), StartOptions{}},
			{"fresh, network of ours there", with(bare(), func(o *Observed) { o.Network = suspended().Network }), StartOptions{}},
			{"fresh, network of ours there, range taken", with(bare(), func(o *Observed) { o.Network = suspended().Network; o.Ranges = append(o.Ranges, vpn) }), StartOptions{}},
			{"fresh, everything taken", with(bare(), func(o *Observed) {
				for _, p := range pools {
					o.Ranges = append(o.Ranges, TakenRange{p, "interface tun0"})
				}
			}), StartOptions{}},
		},
		"ports": {
			{"pitfall 8: fresh, held by a process", with(bare(), func(o *Observed) { o.Ports = []TakenPort{{8080, "tcp", "process nginx (812)"}} }), StartOptions{}},
			{"pitfall 8: stopped, held by a container", with(stopped, func(o *Observed) { o.Ports = []TakenPort{{8080, "tcp", "container web"}} }), StartOptions{}},
			{"stopped, web port held", with(stopped, func(o *Observed) { o.Ports = []TakenPort{{7100, "tcp", "container web"}} }), StartOptions{}},
			{"running, another port held", with(running, func(o *Observed) { o.Ports = []TakenPort{{9000, "tcp", "container web"}} }), StartOptions{Port: ptr(9000)}},
			{"same number, other protocol", with(stopped, func(o *Observed) { o.Ports = []TakenPort{{8080, "udp", "container web"}} }), StartOptions{}},
			{"--port is the web port", stopped, StartOptions{Port: ptr(7100)}},
			{"fresh, no web port free", with(bare(), func(o *Observed) { o.FreeHTTP = 0 }), StartOptions{}},
			{"fresh, --http-port 0", bare(), StartOptions{HTTPPort: ptr(0)}},
		},
		"drift": {
			{"stopped, restart policy changed", with(stopped, func(o *Observed) { edit(o, func(c *docker.Container) { c.RestartPolicy = "no" }) }), StartOptions{}},
			{"running, restart policy changed", with(running, func(o *Observed) { edit(o, func(c *docker.Container) { c.RestartPolicy = "always" }) }), StartOptions{}},
			{"stopped, container of other settings", with(stopped, func(o *Observed) { o.Settings.Port = 9000 }), StartOptions{}},
			{"stopped, memory limit changed by hand", with(stopped, func(o *Observed) { edit(o, func(c *docker.Container) { c.Memory = 1 << 30 }) }), StartOptions{}},
			{"running, memory limit changed by hand", with(running, func(o *Observed) { edit(o, func(c *docker.Container) { c.Memory = 1 << 30 }) }), StartOptions{}},
			{"running, none selected", with(running, func(o *Observed) { o.Active, o.NoneActive = "", true }), StartOptions{}},
			{"running, another selected", with(running, func(o *Observed) { o.Active = "other" }), StartOptions{}},
		},
		"host": {
			{"fresh, --cpus above the engine's", bare(), StartOptions{CPUs: ptr(4.5)}},
			{"running, --cpus above the engine's", running, StartOptions{CPUs: ptr(64.0)}},
			{"suspended, the engine has fewer cores now", with(suspended(), func(o *Observed) { o.Settings.CPUs = 8 }), StartOptions{}},
			{"running, --bind to an address of another host", with(running, func(o *Observed) { o.NotLocal = true }), StartOptions{Bind: ptr("10.9.9.9")}},
			{"stopped, its address is gone", with(stopped, func(o *Observed) { o.NotLocal, o.Settings.Bind = true, "10.9.9.9" }), StartOptions{}},
		},
		"newer": {
			{"stopped", newerSettings(stopped), StartOptions{}},
			{"running", newerSettings(running), StartOptions{}},
			{"running, --port 9000", newerSettings(running), StartOptions{Port: ptr(9000)}},
		},
		"beside": {
			{"behind an aside", asidesAlone(suspended()), StartOptions{beside: true}},
			{"behind an aside, container there", asidesAlone(stopped), StartOptions{beside: true, Port: ptr(9000)}},
			{"another was faster", stopped, StartOptions{beside: true}},
		},
		"edge": {
			{"running, edge ready", with(running, edgeIs(nodeapi.EdgeReady, "")), StartOptions{}},
			{"running, edge starting", with(running, edgeIs(nodeapi.EdgeStarting, "a reset is under way: start-vpn")), StartOptions{}},
			{"running, edge failed", with(running, edgeIs(nodeapi.EdgeFailed, "nginx is not running")), StartOptions{}},
			{"running, edge failed, --port 9000", with(running, edgeIs(nodeapi.EdgeFailed, "nginx is not running")), StartOptions{Port: ptr(9000)}},
			{"degraded, edge failed", with(running, func(o *Observed) {
				edgeIs(nodeapi.EdgeFailed, "nginx is not running")(o)
				o.Healthy, o.Node, o.Edge = false, &nodeapi.Status{Phase: nodeapi.Degraded, Edge: o.Edge}, nil
			}), StartOptions{}},
			{"running, the image has no edge", running, StartOptions{}},
			{"stopped", stopped, StartOptions{}},
		},
		"engine": {
			{"rootless", with(bare(), func(o *Observed) { e := *o.Engine; e.Rootless = true; o.Engine = &e }), StartOptions{}},
			{"windows containers", with(bare(), func(o *Observed) { e := *o.Engine; e.OS = "windows"; o.Engine = &e }), StartOptions{}},
		},
	}
	for name, scenes := range rules {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, s := range scenes {
				b.WriteString(describe(s))
			}
			golden(t, "rule-"+name, b.String())
		})
	}
}

func edgeIs(state nodeapi.EdgeState, message string) func(*Observed) {
	return func(o *Observed) { o.Edge = &nodeapi.Edge{State: state, Message: message, Since: noon} }
}

func asidesAlone(o Observed) Observed {
	o = never(o)
	o.Content, o.Settings, o.Asides = ContentEmpty, gateway.Settings{}, []string{"aside-20260101T000000Z-unreadable"}
	return o
}

func newerSettings(o Observed) Observed {
	o.Content, o.Settings, o.Damage = ContentNewer, gateway.Settings{}, gateway.ErrNewer
	return o
}

func edit(o *Observed, change func(*docker.Container)) {
	c := *o.Container
	change(&c)
	o.Container = &c
}
