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
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge/edgeapi"
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
