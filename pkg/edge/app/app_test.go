package app

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/project"
	"openshell.ai/openshell/pkg/edge/push"
	"openshell.ai/openshell/pkg/edge/routes"
	"openshell.ai/openshell/pkg/edge/script"
)

const (
	goodToken = "good-token"
	startKey  = "0123456789abcdef0123456789abcdef"
)

// place is where a gateway's processes follow each other, with fakes around.
type place struct {
	t      *testing.T
	config Config

	mu      sync.Mutex
	events  []string // what happened around the gateway, in order
	applied string
	hang    bool
	planeIs int // status that the control plane answers
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t: t, planeIs: http.StatusOK, config: Config{
		GatewayID: "g1", Address: "127.0.0.1:0", State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"),
		ProjectConfig: filepath.Join(dir, "project-config.json"), Pods: netip.MustParsePrefix("10.42.0.0/16"), Watchdog: 30 * time.Second,
	}}
	for _, d := range []string{p.config.State, p.config.Run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// withPlane gives the gateway a control plane.
func (p *place) withPlane() *place {
	p.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(p.servePlane))
	p.t.Cleanup(server.Close)
	p.config.ControlPlane = server.URL
	p.config.TokenFile, p.config.StartKeyFile = filepath.Join(p.config.State, "token"), filepath.Join(p.config.State, "key")
	for path, secret := range map[string]string{p.config.TokenFile: "gateway-token", p.config.StartKeyFile: startKey} {
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return p
}

func (p *place) servePlane(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.planeIs != http.StatusOK {
		http.Error(w, "as told", p.planeIs)
		return
	}
	if r.Header.Get("Authorization") != "Bearer gateway-token" {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
	}
	var doc push.Document
	if err := json.NewDecoder(body).Decode(&doc); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	p.events = append(p.events, fmt.Sprintf("%s %s v%d", r.URL.Path, doc.GatewayID, doc.Version))
}

func (p *place) plane(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planeIs = status
}

func (p *place) run(ctx context.Context, name script.Name, input string) error {
	p.mu.Lock()
	hang := p.hang
	if name == script.UpdateNginxLocations {
		p.applied = input
	} else {
		p.events = append(p.events, string(name))
	}
	p.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (p *place) happened() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.events...)
}

func (p *place) set() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied
}

// one container is known.
func (p *place) Verify(id, token string) (routes.Container, error) {
	if id != "c1" || token != goodToken {
		return routes.Container{}, ErrUnauthorized
	}
	return known(), nil
}

func (p *place) List() ([]routes.Container, error) { return []routes.Container{known()}, nil }

func known() routes.Container {
	return routes.Container{ID: "c1", Name: "lab", Address: netip.MustParseAddr("172.16.1.1"), Services: []edgeapi.VPNService{{Host: "jupyter", Port: 8888}}}
}

func (p *place) Status() (edgeapi.VPN, error) {
	return edgeapi.VPN{State: edgeapi.VPNUp, Port: 49100, Clients: []edgeapi.VPNClient{{ID: "c1", Name: "lab"}}}, nil
}

func (p *place) ClientConfig(id, token string) (any, error) { return map[string]string{"id": id}, nil }

func (p *place) app() *App {
	p.t.Helper()
	a, err := New(p.config, Parts{
		Build: "b1", Containers: p, ContainersFile: filepath.Join(p.config.State, "containers.json"), VPN: p, Run: p.run, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(a.table.Stop)
	return a
}

// start runs a process of the gateway until stop, which is SIGTERM.
func (p *place) start() (a *App, stop func()) {
	p.t.Helper()
	a = p.app()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	}
	p.t.Cleanup(stop)
	return a, stop
}

// ask reads a document of the control socket, in which a process may not be yet.
func ask[T any](p *place, path string) (doc T, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(p.config.Run, "control.sock"))
	}}}
	resp, err := client.Get("http://app" + path)
	if err != nil {
		return doc, err
	}
	defer resp.Body.Close()
	return doc, json.NewDecoder(resp.Body).Decode(&doc)
}

func (p *place) state() edgeapi.State {
	doc, _ := ask[edgeapi.State](p, edgeapi.StatePath) // polled: it may not serve yet
	return doc
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, wanted...), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// write replaces a file as the node does.
func (p *place) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.config.Run, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.t.Fatal(err)
	}
}

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
