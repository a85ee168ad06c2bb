//go:build e2e

package edge

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/edge/edgeapi"
)

const routesFile = "/run/openshell-edge/sandbox-routes.json"

// newGateway is a box with the whole edge.
func newGateway(t *testing.T, flags ...string) *front {
	t.Helper()
	f := &front{box: newBox(t, append([]string{"--env", "GATEWAY_POD_CIDR=10.208.0.0/20"}, flags...)...)}
	out, err := exec.Command("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", f.id).Output()
	if err != nil {
		t.Fatal(err)
	}
	f.address = net.JoinHostPort(strings.TrimSpace(string(out)), "7100")
	return f
}

// control reads a document of the control socket.
func control[T any](b *box, what string) (doc T) {
	b.t.Helper()
	r := b.try("", appGateway, "control", what)
	if r.code == 0 {
		if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil {
			b.t.Fatalf("control %s: %v: %s", what, err, r.stdout)
		}
	}
	return doc
}

// expose writes the full set as the node does.
func (b *box) expose(doc string) {
	b.t.Helper()
	if r := b.try(doc, "bash", "-c", "cat >"+routesFile+".new && mv "+routesFile+".new "+routesFile); r.code != 0 {
		b.t.Fatal(r.stderr)
	}
}

// eventually in a gateway tells what it is doing when it does not come to that.
func (f *front) eventually(what string, ok func() bool) {
	f.t.Helper()
	f.t.Cleanup(func() {
		if f.t.Failed() {
			f.t.Logf("state: %+v", control[edgeapi.State](f.box, "state"))
		}
	})
	eventually(f.t, patience, what, ok)
}

func TestAppRoutesSandboxes(t *testing.T) {
	t.Parallel()
	f := newGateway(t)
	f.copyIn(echo(t), "/opt/echo")
	f.sh("ip address add 10.208.0.7/32 dev lo")
	f.startInside("/opt/echo 10.208.0.7:8080")
	// What is there before app-gateway is served from its first moment.
	f.expose(`[{"host":"web","sandbox":"box","id":"s1","ip":"10.208.0.7","port":8080}]`)
	f.up()
	f.eventually("web is served", func() bool { return f.get("/web/", nil).status == http.StatusOK })
	f.expose(`[{"host":"web","sandbox":"box","id":"s1","ip":"10.208.0.7","port":8080},{"host":"other","sandbox":"box","id":"s1","ip":"10.208.0.7","port":8080},
{"host":"web","sandbox":"late","id":"s2","ip":"10.208.0.7","port":1}]`)
	f.eventually("other is served", func() bool { return f.get("/other/", nil).status == http.StatusOK })
	if got := f.get("/web/", nil); got.status != http.StatusOK {
		t.Errorf("the name's first owner lost it: %d", got.status)
	}
	conflict := ""
	for _, r := range control[[]edgeapi.Route](f.box, "routes") {
		if r.State == edgeapi.RouteConflict {
			conflict += r.Host + " of " + r.Owner + ": " + r.Message
		}
	}
	if conflict != `web of late: name "web" belongs to sandbox "box"` {
		t.Errorf("conflicts: %q", conflict)
	}

	f.expose(`[{"host":"web","sand`)
	f.eventually("the damage is told", func() bool { return len(control[edgeapi.State](f.box, "state").Problems) > 0 })
	if got := f.get("/other/", nil); got.status != http.StatusOK {
		t.Errorf("half a file ended a route: %d", got.status)
	}

	f.expose(`[{"host":"web","sandbox":"box","id":"s1","port":8080}]`)
	f.eventually("web is down", func() bool { return f.get("/web/", nil).status == http.StatusBadGateway })
	asked := time.Now()
	got := f.get("/web/", nil)
	if took := time.Since(asked); took > 5*time.Second {
		t.Errorf("it takes %s to tell that web is down", took)
	}
	if !strings.Contains(got.body, "<b>web</b>") || !strings.Contains(got.body, "<b>8080</b>") {
		t.Errorf("the page does not say what is down: %s", got.body)
	}
	if got := f.get("/other/", nil); got.status != http.StatusNotFound {
		t.Errorf("other is not gone: %d", got.status)
	}

	// A killed app comes back with what it had, and a reset ends nothing.
	f.expose(`[{"host":"web","sandbox":"box","id":"s1","ip":"10.208.0.7","port":8080}]`)
	f.eventually("web is served again", func() bool { return f.get("/web/", nil).status == http.StatusOK })
	f.mustScript("lib/reset-nginx.sh", "")
	f.eventually("web is served though nginx was reset", func() bool { return f.get("/web/", nil).status == http.StatusOK })
	f.kill("KILL", f.pid("app"))
	if got := f.get("/web/", nil); got.status != http.StatusOK {
		t.Errorf("web ended with app-gateway: %d", got.status)
	}
	f.eventually("app-gateway is back", func() bool { return control[edgeapi.State](f.box, "state").Routes == 1 })
	f.up()
	f.eventually("web is served after a reset", func() bool { return f.get("/web/", nil).status == http.StatusOK })
}

func TestAppRoutesContainersWhileTheyReport(t *testing.T) {
	t.Parallel()
	network := newNetwork(t)
	f := newGateway(t, "--network", network, "--network-alias", "gateway", "--env", "GATEWAY_WATCHDOG=12s")
	c := newBox(t, "--network", network)
	f.up()
	p, data := f.addClient("lab", "--service", "jupyter:8888")
	if got := f.get("/jupyter/", nil); got.status != http.StatusNotFound {
		t.Errorf("a container that never reported is served: %d", got.status)
	}
	// The token alone does not do, whatever the request says of its source.
	got, err := f.do(http.DefaultClient, http.MethodPost, "http://"+f.address+edgeapi.EventPath, http.Header{
		"Authorization": {"Bearer " + p.Token}, "X-Real-Ip": {p.Address.String()},
	}, strings.NewReader(`{"type":"watchdog","container":"`+p.ID+`"}`))
	if err != nil || got.status != http.StatusForbidden {
		t.Errorf("an event from outside the VPN: %d %s, %v", got.status, got.body, err)
	}

	// What it needs to join, it may ask for before it is in the VPN.
	for token, status := range map[string]int{p.Token: http.StatusOK, "another": http.StatusUnauthorized} {
		got := f.get(edgeapi.VPNConfigPath+"?container="+p.ID, http.Header{"Authorization": {"Bearer " + token}})
		if got.status != status || strings.Contains(got.body, "PRIVATE KEY") != (status == http.StatusOK) {
			t.Errorf("vpn-config: %d, want %d: %.200s", got.status, status, got.body)
		}
	}

	c.copyIn(echo(t), "/opt/echo")
	c.startInside("/opt/echo 0.0.0.0:8888")
	c.join(data)
	f.eventually("jupyter is served", func() bool { return f.get("/jupyter/", nil).status == http.StatusOK })
	routes := control[[]edgeapi.Route](f.box, "routes")
	if len(routes) != 1 || routes[0].Owner != "lab" || routes[0].State != edgeapi.RouteLive || routes[0].IP != p.Address {
		t.Errorf("routes %+v", routes)
	}
	vpn := control[edgeapi.VPN](f.box, "vpn")
	if vpn.State != edgeapi.VPNUp || len(vpn.Clients) != 1 || !vpn.Clients[0].Connected || len(vpn.Clients[0].Services) != 1 {
		t.Errorf("vpn %+v", vpn)
	}

	c.sh("kill $(cat /run/agent.pid)")
	ended := time.Now()
	f.eventually("jupyter is gone", func() bool {
		// A request that was under way when it ended is never answered.
		impatient := &http.Client{Timeout: 15 * time.Second}
		got, err := f.do(impatient, http.MethodGet, "http://"+f.address+"/jupyter/", nil, nil)
		return err == nil && got.status == http.StatusNotFound
	})
	t.Logf("gone %s after the container's end", time.Since(ended).Round(time.Second))
	if routes := control[[]edgeapi.Route](f.box, "routes"); len(routes) != 1 || routes[0].State != edgeapi.RouteDown {
		t.Errorf("routes %+v, want one that is down", routes)
	}
	f.sh(appGateway + " vpn client rm lab")
	f.eventually("the name is free", func() bool { return len(control[[]edgeapi.Route](f.box, "routes")) == 0 })
}

func TestAppDeliversItsLastPush(t *testing.T) {
	t.Parallel()
	plane := newControlPlane(t)
	f := newGateway(t, planeHost, "--env", "GANYMEDE_URL="+plane.url, "--env", "GATEWAY_TOKEN_FILE=/run/token", "--env", "GATEWAY_START_KEY_FILE=/run/key")
	f.sh(`umask 077; echo ` + planeToken + ` >/run/token; echo ` + planeKey + ` >/run/key`)
	f.up()
	state := func() edgeapi.State { return control[edgeapi.State](f.box, "state") }
	f.eventually("ready", func() bool { return state().State == edgeapi.StateReady })
	if status := plane.start(f, state().Epoch-1); status != http.StatusConflict {
		t.Errorf("a start of an old epoch: %d", status)
	}
	first := state().Epoch
	if status := plane.start(f, first); status != http.StatusOK {
		t.Fatalf("start: %d", status)
	}
	if status := plane.start(f, first); status != http.StatusConflict {
		t.Errorf("a start that is replayed: %d", status)
	}
	if now := state(); now.State != edgeapi.StateActive || now.ResetInSeconds == nil {
		t.Errorf("state %+v", now)
	}

	// A reload's SIGTERM pushes, and what comes next resumes.
	f.kill("TERM", f.pid("app"))
	f.eventually("the last push", func() bool { return plane.has(fmt.Sprintf("push %d/1", first)) })
	f.eventually("active again", func() bool { return state().State == edgeapi.StateActive })
	if now := state(); now.Epoch != first || now.Organization != "acme" {
		t.Errorf("resumed %+v", now)
	}

	// Without a control plane it is kept, also over a reset, and sent before anything else.
	plane.down(true)
	f.mustScript("lib/stop-app-gateway.sh", "")
	if spooled := strings.TrimSpace(f.sh("ls /var/lib/openshell/current/edge/spool/*.json.gz")); strings.Count(spooled, "\n") != 0 {
		t.Errorf("spool: %s", spooled)
	}
	if f.exists("/tmp/project-config.json") {
		t.Error("the allocation is not blank")
	}
	plane.down(false)
	f.up()
	f.eventually("ready anew", func() bool { return state().State == edgeapi.StateReady })
	second := state().Epoch
	if second <= first {
		t.Errorf("epoch %d after %d", second, first)
	}
	want := fmt.Sprintf("ready %d, push %d/1, push %d/2, ready %d", first, first, first, second)
	if got := plane.story(); got != want {
		t.Errorf("the control plane saw %q, want %q", got, want)
	}
}

func TestAppIsResetWhenNobodyUsesIt(t *testing.T) {
	t.Parallel()
	plane := newControlPlane(t)
	f := newGateway(t, planeHost, "--env", "GANYMEDE_URL="+plane.url, "--env", "GATEWAY_TOKEN_FILE=/run/token", "--env", "GATEWAY_START_KEY_FILE=/run/key",
		"--env", "GATEWAY_INACTIVITY=10s")
	f.sh(`umask 077; echo ` + planeToken + ` >/run/token; echo ` + planeKey + ` >/run/key; ip address add 10.208.0.7/32 dev lo`)
	f.copyIn(echo(t), "/opt/echo")
	f.startInside("/opt/echo 10.208.0.7:8080")
	f.expose(`[{"host":"web","sandbox":"box","id":"s1","ip":"10.208.0.7","port":8080}]`)
	f.up()
	state := func() edgeapi.State { return control[edgeapi.State](f.box, "state") }
	f.eventually("ready", func() bool { return state().State == edgeapi.StateReady })
	first := state().Epoch
	if status := plane.start(f, first); status != http.StatusOK {
		t.Fatalf("start: %d", status)
	}
	// Who uses a service keeps the gateway, well beyond the limit.
	began := time.Now()
	f.eventually("time to pass", func() bool { f.get("/web/", nil); return time.Since(began) > 15*time.Second })
	if now := state(); now.State != edgeapi.StateActive || now.Epoch != first {
		t.Fatalf("state %+v while it is used", now)
	}
	// Who only asks whether it is there does not.
	f.eventually("the reset", func() bool { f.get("/collab/ping", nil); return state().Epoch > first })
	f.eventually("ready anew", func() bool { return state().State == edgeapi.StateReady })
	want := fmt.Sprintf("ready %d, push %d/1, ready %d", first, first, state().Epoch)
	if got := plane.story(); got != want {
		t.Errorf("the control plane saw %q, want %q", got, want)
	}
	if got := f.get("/web/", nil); got.status != http.StatusOK {
		t.Errorf("the sandbox is not served after the reset: %d", got.status)
	}
}
