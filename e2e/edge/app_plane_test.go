//go:build e2e

package edge

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/project"
)

const (
	planeToken = "token-of-the-gateway"
	planeHost  = "--add-host=plane:host-gateway"
	planeKey   = "0123456789abcdef0123456789abcdef"
)

// controlPlane is one that boxes reach, and remembers what gateways told it.
type controlPlane struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	saw   []string
	fails bool
}

// newControlPlane starts one; boxes need planeHost among their flags.
func newControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	listener, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	p := &controlPlane{t: t, url: fmt.Sprintf("http://plane:%d", listener.Addr().(*net.TCPAddr).Port)}
	server := &http.Server{Handler: http.HandlerFunc(p.serve)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return p
}

func (p *controlPlane) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	var doc struct{ Epoch, Version int64 }
	var body io.Reader = r.Body
	var err error
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(r.Body)
	}
	if err == nil {
		err = json.NewDecoder(body).Decode(&doc)
	}
	if err != nil || r.Header.Get("Authorization") != "Bearer "+planeToken {
		p.t.Errorf("%s: %v, %v", r.URL.Path, err, r.Header)
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case "/gateway/ready":
		p.saw = append(p.saw, fmt.Sprintf("ready %d", doc.Epoch))
	case "/gateway/data/push":
		p.saw = append(p.saw, fmt.Sprintf("push %d/%d", doc.Epoch, doc.Version))
	default:
		http.NotFound(w, r)
	}
}

func (p *controlPlane) down(fails bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = fails
}

func (p *controlPlane) has(event string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.saw, event)
}

func (p *controlPlane) story() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.saw, ", ")
}

// start allocates a gateway, and answers the status.
func (p *controlPlane) start(f *front, epoch int64) int {
	p.t.Helper()
	wanted := project.Config{GatewayID: "test", Epoch: epoch, Organization: "acme"}
	body, err := json.Marshal(wanted)
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := f.do(http.DefaultClient, http.MethodPost, "http://"+f.address+edgeapi.StartPath, http.Header{
		"Authorization": {"Bearer " + lifecycle.Key(planeKey).Token(wanted)},
	}, strings.NewReader(string(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	return got.status
}
