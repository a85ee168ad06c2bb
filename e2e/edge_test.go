//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/nodeapi"
)

// edgeTime is for an edge to come up on a busy machine.
const edgeTime = 45 * time.Second

// edgeReady waits until the node says so, and app-gateway answers through the
// published port.
func (g *Gateway) edgeReady(t testing.TB) edgeapi.Ping {
	t.Helper()
	var seen *nodeapi.Edge
	eventually(t, edgeTime, "the edge is ready", func() bool {
		seen = g.Running(t).Edge
		return seen != nil && seen.State == nodeapi.EdgeReady
	})
	status := g.Running(t)
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(status.Settings.HTTPPort)) + edgeapi.PingPath)
	if err != nil {
		t.Fatalf("ping over the published port: %v", err)
	}
	defer response.Body.Close()
	var ping edgeapi.Ping
	if err := json.NewDecoder(response.Body).Decode(&ping); response.StatusCode != http.StatusOK || err != nil || ping.GatewayID == "" {
		t.Fatalf("ping over the published port: %s, %+v, %v", response.Status, ping, err)
	}
	return ping
}

// vpnKeys is a fingerprint of the keys of the VPN's epoch.
func (g *Gateway) vpnKeys(t testing.TB) string {
	t.Helper()
	return g.Sh(t, "find "+edge.VPNStateDir+" -name 'ca.crt' -exec sha256sum {} + | sort")
}

func (g *Gateway) nodeLog(t testing.TB) string {
	t.Helper()
	r := run(t, nil, "", "docker", "logs", "--tail", "5000", g.Resource()).Exits(t, 0)
	return r.Stdout + r.Stderr
}

// end kills the process that a script has recorded.
func (g *Gateway) end(t testing.TB, record string) {
	t.Helper()
	g.Sh(t, `read -r pid _ <`+edge.RunDir+`/`+record+`; kill -9 "$pid"`)
}

// The edge of one gateway through all that can happen to it.
func TestEdge(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "edge")
	g.Web = 0
	g.Start(t)
	first := g.edgeReady(t)
	keys := g.vpnKeys(t)
	if keys == "" {
		t.Fatal("the VPN has no keys on the volume")
	}
	same := func(t *testing.T) {
		t.Helper()
		if ping := g.edgeReady(t); ping.GatewayID != first.GatewayID || ping.Build != first.Build {
			t.Errorf("before %+v, now %+v", first, ping)
		}
		if now := g.vpnKeys(t); now != keys {
			t.Errorf("the keys of the VPN were\n%s\nand are\n%s", keys, now)
		}
	}

	t.Run("after a stop it is the same", func(t *testing.T) { testEdgeStop(t, g); g.Start(t); same(t) })
	t.Run("after its container is gone it is the same", func(t *testing.T) {
		docker(t, "rm", "--force", g.Resource())
		g.Start(t)
		same(t)
	})
	for _, part := range []struct{ record, name string }{{"nginx.pid", "nginx"}, {"openvpn.pid", "OpenVPN"}} {
		t.Run(part.name+" is killed, and a start restores it", func(t *testing.T) {
			testEdgeRestored(t, g, part.record, part.name)
			same(t)
		})
	}
	t.Run("OpenVPN is killed, and the node restores it by itself", func(t *testing.T) {
		g.end(t, "openvpn.pid")
		eventually(t, 10*time.Second, "it is known to have failed", func() bool { return g.Running(t).Edge.State == nodeapi.EdgeFailed })
		eventually(t, time.Minute, "it is ready again", func() bool { return g.Running(t).Edge.State == nodeapi.EdgeReady })
		same(t)
	})
	t.Run("app-gateway is killed and comes back", func(t *testing.T) {
		g.end(t, "app.pid")
		if s := g.Running(t); s.Edge.State == nodeapi.EdgeFailed {
			t.Errorf("edge %+v, though it comes back by itself", s.Edge)
		}
		same(t)
	})
	t.Run("its process is killed and comes back", func(t *testing.T) { testEdgeProcess(t, g); same(t) })
	t.Run("a reload without a key changes nothing", func(t *testing.T) {
		g.CLI(t, "gateway", "reload").Exits(t, 1).Says(t, "reload-failed", "key")
		same(t)
	})
	t.Run("a release that is not complete gives way", func(t *testing.T) {
		g.Sh(t, `ln -sfn releases/none `+edge.Root+`/current`)
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		g.Start(t)
		same(t)
		if log := g.nodeLog(t); !strings.Contains(log, "that of the image takes its place") {
			t.Error("the node's log does not say so")
		}
	})
	t.Run("a state of before there was an edge", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		g.OnVolume(t, "", "rm -rf current/edge")
		g.Start(t)
		if ping := g.edgeReady(t); ping.GatewayID == first.GatewayID {
			t.Error("the id was kept elsewhere")
		}
		keys = g.vpnKeys(t)
	})
	t.Run("a reset renews the keys", func(t *testing.T) {
		g.CLI(t, "gateway", "reset").Exits(t, 2).Says(t, "needs-yes")
		var result struct{ Reset bool }
		r := g.CLI(t, "gateway", "reset", "--yes", "-o", "json").Exits(t, 0)
		if r.JSON(t, &result); !result.Reset {
			t.Error(r)
		}
		t.Logf("reset in %s", r.Took.Round(time.Millisecond))
		g.edgeReady(t)
		if g.vpnKeys(t) == keys {
			t.Error("the keys are the same")
		}
	})
	t.Run("routes, VPN and a client", func(t *testing.T) { testEdgeAsked(t, g) })
	t.Run("over TLS", func(t *testing.T) { testEdgeTLS(t, g) })
	t.Run("not published", func(t *testing.T) {
		g.Start(t, "--http-port", "0")
		g.CLI(t, "gateway", "routes").Exits(t, 0).Says(t, "is not published", "--http-port")
		var routes bootstrap.Routes
		if g.CLI(t, "gateway", "routes", "-o", "json").Exits(t, 0).JSON(t, &routes); routes.Web != "" {
			t.Errorf("the web port is said to be at %s", routes.Web)
		}
	})
}

// The edge is stopped first, in its own way: its last words come before those of
// the others, and the log on the volume has the app's.
func testEdgeStop(t *testing.T, g *Gateway) {
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	log := g.nodeLog(t)
	var order []int
	for _, words := range []string{"edge | the edge is stopping", `edge | {"status":"ok"}`, "control-plane | ", "stopped after_ms="} {
		at := strings.LastIndex(log, words)
		if at < 0 {
			t.Fatalf("the node's log lacks %q:\n%s", words, log)
		}
		order = append(order, at)
	}
	if !slices.IsSorted(order) {
		t.Errorf("the edge was not the first to end:\n%s", log)
	}
}

func testEdgeRestored(t *testing.T, g *Gateway, record, name string) {
	g.end(t, record)
	status := g.Running(t) // the gateway is as healthy as before
	if status.Edge.State != nodeapi.EdgeFailed || !strings.Contains(status.Edge.Message, name) {
		t.Errorf("edge %+v", status.Edge)
	}
	if !slices.ContainsFunc(status.Checks, func(c nodeapi.Check) bool { return c.ID == "edge" && !c.OK }) {
		t.Errorf("no check says so: %+v", status.Checks)
	}
	g.CLI(t, "gateway", "status").Exits(t, 0).Says(t, "failed: "+name)
	var result bootstrap.StartResult
	g.CLI(t, "gateway", "start", "-o", "json").Exits(t, 0).JSON(t, &result)
	if result.Action != "repair" || !slices.Contains(result.Changed, string(bootstrap.RestoreEdge)) || len(result.Warnings) > 0 {
		t.Errorf("the start: %+v", result)
	}
}

// The node starts it again, which takes over what it finds.
func testEdgeProcess(t *testing.T, g *Gateway) {
	component := func() nodeapi.Component {
		for _, c := range g.Running(t).Node.Components {
			if c.Name == nodeapi.EdgeComponent {
				return c
			}
		}
		t.Fatal("the node has no such component")
		return nodeapi.Component{}
	}
	before := component()
	g.Sh(t, "kill -9 "+strconv.Itoa(before.PID))
	eventually(t, edgeTime, "the node starts it again", func() bool {
		now := component()
		return now.Restarts > before.Restarts && now.PID != 0 && now.PID != before.PID
	})
}

// testEdgeTLS has the web port serve the gateway's own certificate, and not any more.
func testEdgeTLS(t *testing.T, g *Gateway) {
	port := g.Running(t).Settings.HTTPPort
	ping := func(t *testing.T, scheme string) Result {
		return run(t, nil, "", "curl", "-sS", "--fail", "--max-time", "5", "--cacert", g.Bundle("ca.crt"), fmt.Sprintf("%s://localhost:%d%s", scheme, port, edgeapi.PingPath))
	}
	ready := func() bool { return g.Running(t).Edge.State == nodeapi.EdgeReady }
	g.Start(t, "--http-tls")
	eventually(t, edgeTime, "the edge is ready over TLS", ready)
	ping(t, "https").Exits(t, 0).Says(t, "gateway_id")
	var routes bootstrap.Routes
	if g.CLI(t, "gateway", "routes", "-o", "json").Exits(t, 0).JSON(t, &routes); !strings.HasPrefix(routes.Web, "https://") {
		t.Errorf("the web port is said to be at %q", routes.Web)
	}
	g.Start(t, "--http-tls=false")
	eventually(t, edgeTime, "the edge is ready without", ready)
	ping(t, "http").Exits(t, 0).Says(t, "gateway_id")
	if r := ping(t, "https"); r.Code == 0 {
		t.Errorf("TLS is still there: %s", r)
	}
}

func testEdgeAsked(t *testing.T, g *Gateway) {
	var routes bootstrap.Routes
	if g.CLI(t, "gateway", "routes", "-o", "json").Exits(t, 0).JSON(t, &routes); !strings.HasPrefix(routes.Web, "http://127.0.0.1:7") || len(routes.Routes) > 0 {
		t.Errorf("routes: %+v", routes)
	}
	g.CLI(t, "gateway", "vpn", "client-config", "laptop").Exits(t, 0).Says(t, `"token"`, "not published")
	g.CLI(t, "gateway", "vpn", "client-config", "laptop").Exits(t, 5).Says(t, "client-exists")
	g.CLI(t, "gateway", "vpn", "client-config", "laptop", "--renew").Exits(t, 0).Says(t, `"token"`)
	var vpn bootstrap.VPN
	g.CLI(t, "gateway", "vpn", "status", "-o", "json").Exits(t, 0).JSON(t, &vpn)
	if vpn.State != edgeapi.VPNUp || len(vpn.Clients) != 1 || vpn.Clients[0].Name != "laptop" || vpn.Clients[0].Connected {
		t.Errorf("vpn: %+v", vpn)
	}
}
