package app

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/project"
)

func TestSandboxRoutesAreFollowed(t *testing.T) {
	p := newPlace(t)
	name := filepath.Base(edge.SandboxRoutes)
	web := `[{"host":"web","sandbox":"box","id":"s1","ip":"10.42.0.7","port":80}]`
	p.write(name, web)
	_, stop := p.start()
	served := "web 10.42.0.7 80\n"
	eventually(t, "the first set", func() bool { return p.set() == served })
	p.write(name, web[:20])
	eventually(t, "the problem", func() bool { return strings.Contains(strings.Join(p.state().Problems, "\n"), "last good set stays") })
	if p.set() != served {
		t.Errorf("half a file changed the set to %q", p.set())
	}
	p.write(name, `[{"host":"web","sandbox":"box","id":"s1","port":80},{"host":"far","sandbox":"box","id":"s1","ip":"8.8.8.8","port":80}]`)
	eventually(t, "the address that is gone", func() bool { return p.set() == "web 172.16.0.2 80\n" })
	if problems := p.state().Problems; len(problems) > 0 {
		t.Errorf("problems %q are left", problems)
	}
	all, err := ask[[]edgeapi.Route](p, edgeapi.RoutesPath)
	if err != nil || len(all) != 3 || all[0].Host != "far" || all[0].State != edgeapi.RouteDown || all[2].State != edgeapi.RouteDown {
		t.Errorf("routes %+v, %v", all, err)
	}
	// A process that comes after a crash applies the set at once, whatever nginx has.
	stop()
	p.mu.Lock()
	p.applied = "of before"
	p.mu.Unlock()
	p.start()
	eventually(t, "the set after a restart", func() bool { return p.set() == "web 172.16.0.2 80\n" })
}

func TestStandAloneIsActiveAndPushesNothing(t *testing.T) {
	p := newPlace(t)
	p.config.Inactivity = time.Millisecond
	_, stop := p.start()
	eventually(t, "active", func() bool { return p.state().State == edgeapi.StateActive })
	state := p.state()
	if !state.StandAlone || state.ResetInSeconds != nil || state.Build != "b1" || state.GatewayID != "g1" {
		t.Errorf("state %+v", state)
	}
	vpn, err := ask[edgeapi.VPN](p, edgeapi.VPNPath)
	if err != nil || len(vpn.Clients) != 1 || !cmp.Equal(vpn.Clients[0].Services, known().Services) {
		t.Errorf("vpn %+v, %v", vpn, err)
	}
	info, err := os.Stat(filepath.Join(p.config.Run, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, %v", info.Mode(), err)
	}
	stop()
	want(t, "events", p.happened())
}

// allocate starts an organization as the control plane does.
func allocate(t *testing.T, a *App) {
	t.Helper()
	_, current := a.machine.State()
	current.Organization, current.Version = "acme", 3
	body, err := json.Marshal(current)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, edgeapi.StartPath, strings.NewReader(string(body)))
	r.Header.Set("Authorization", "Bearer "+lifecycle.Key(startKey).Token(current))
	w := httptest.NewRecorder()
	a.public().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("start: %d %s", w.Code, w.Body)
	}
}

func TestPooledGatewayFromReadyToReset(t *testing.T) {
	p := newPlace(t).withPlane()
	p.config.Inactivity = 2 * time.Second
	a, _ := p.start()
	eventually(t, "ready", func() bool { return p.state().State == edgeapi.StateReady })
	allocate(t, a)
	if state := p.state(); state.State != edgeapi.StateActive || state.Organization != "acme" || state.ResetInSeconds == nil {
		t.Errorf("state %+v, want an active one that counts down", state)
	}
	eventually(t, "the reset", func() bool { return len(p.happened()) == 3 })
	want(t, "events", p.happened(), "/gateway/ready g1 v0", "/gateway/data/push g1 v4", "reset-gateway")
	if _, ok, err := project.Load(p.config.ProjectConfig); ok || err != nil {
		t.Errorf("the allocation is still there: %t, %v", ok, err)
	}
	if state := p.state().State; state != edgeapi.StateResetting {
		t.Errorf("state is %s", state)
	}
}

func TestSigtermDeliversTheLastPushAndReloadResumes(t *testing.T) {
	p := newPlace(t).withPlane()
	a, stop := p.start()
	eventually(t, "ready", func() bool { return p.state().State == edgeapi.StateReady })
	epoch := p.state().Epoch
	allocate(t, a)
	stop()
	want(t, "events", p.happened(), "/gateway/ready g1 v0", "/gateway/data/push g1 v4")
	_, stop = p.start()
	eventually(t, "active again", func() bool { return p.state().State == edgeapi.StateActive })
	if state := p.state(); state.Epoch != epoch || state.Organization != "acme" {
		t.Errorf("resumed %+v, want epoch %d of acme", state, epoch)
	}
	stop()
	want(t, "events", p.happened(), "/gateway/ready g1 v0", "/gateway/data/push g1 v4", "/gateway/data/push g1 v5")
}

func TestWhatCouldNotBePushedIsSentBeforeReady(t *testing.T) {
	p := newPlace(t).withPlane()
	a, stop := p.start()
	eventually(t, "ready", func() bool { return p.state().State == edgeapi.StateReady })
	first := p.state().Epoch
	allocate(t, a)
	p.plane(http.StatusServiceUnavailable)
	began := time.Now()
	stop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stop took %s", took)
	}
	if err := project.Blank(p.config.ProjectConfig); err != nil { // as a reset does
		t.Fatal(err)
	}
	p.start()
	eventually(t, "what waits", func() bool { return p.state().Spooled == 1 })
	p.plane(http.StatusOK)
	eventually(t, "ready again", func() bool { return p.state().State == edgeapi.StateReady })
	want(t, "events", p.happened(), "/gateway/ready g1 v0", "/gateway/data/push g1 v4", "/gateway/ready g1 v0")
	if state := p.state(); state.Epoch <= first || state.Spooled != 0 || len(state.Problems) > 0 {
		t.Errorf("state %+v, want a later epoch than %d and nothing left", state, first)
	}
}

func TestStopDoesNotWaitForAScriptThatHangs(t *testing.T) {
	p := newPlace(t)
	p.hang = true
	_, stop := p.start()
	eventually(t, "serving", func() bool { return p.state().State != "" })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stop took %s", took)
	}
}

func TestTwoProcessesDoNotServe(t *testing.T) {
	p := newPlace(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p.config.Address = listener.Addr().String()
	if err := p.app().Run(t.Context()); err == nil {
		t.Error("a second process serves")
	}
}

func TestUnbelievableProjectConfigIsNoAllocation(t *testing.T) {
	p := newPlace(t).withPlane()
	if err := os.WriteFile(p.config.ProjectConfig, []byte(`{"gateway_id":"g1","epoch":7,"organization_id":"evil"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.config.ProjectConfig, 0o666); err != nil {
		t.Fatal(err)
	}
	if state, current := p.app().machine.State(); state != edgeapi.StateStarting || current.Organization != "" {
		t.Errorf("%s, %+v", state, current)
	}
}
