//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/project"
)

const (
	planeToken = "token-of-the-gateway"
	planeKey   = "0123456789abcdef0123456789abcdef"
)

// controlPlane is one that a gateway reaches, and remembers what it was told.
type controlPlane struct {
	t   *testing.T
	url string

	mu   sync.Mutex
	told []told
}

type told struct {
	path string
	at   time.Time
	project.Config
}

// newControlPlane listens on the host's address in the gateway's network.
func newControlPlane(t *testing.T, g *Gateway) *controlPlane {
	t.Helper()
	host := g.Inspect(t, "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &controlPlane{t: t, url: "http://" + l.Addr().String()}
	server := &http.Server{Handler: p}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return p
}

func (p *controlPlane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	var err error
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(r.Body)
	}
	heard := told{path: r.URL.Path}
	if err == nil {
		err = json.NewDecoder(body).Decode(&heard.Config)
	}
	if err != nil || r.Header.Get("Authorization") != "Bearer "+planeToken {
		p.t.Errorf("%s: %v, authorized %t", r.URL.Path, err, r.Header.Get("Authorization") == "Bearer "+planeToken)
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	heard.at = time.Now()
	p.told = append(p.told, heard)
}

// heard is what the control plane was told on a path, in order.
func (p *controlPlane) heard(path string) []told {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []told
	for _, one := range p.told {
		if one.path == path {
			all = append(all, one)
		}
	}
	return all
}

// adopt makes the gateway one of the control plane's pool, until its container
// ends, and allocates it.
func (p *controlPlane) adopt(t *testing.T, g *Gateway) project.Config {
	t.Helper()
	const ready = "/gateway/ready"
	before := len(p.heard(ready))
	g.Sh(t, fmt.Sprintf(`umask 077
cd %s
echo %s >plane-token
echo %s >plane-key
printf 'export %%s\n' GANYMEDE_URL=%s GATEWAY_TOKEN_FILE=$PWD/plane-token GATEWAY_START_KEY_FILE=$PWD/plane-key >>environment
GATEWAY_KEEP_EPOCH=1 %s/main.sh -r bin/reset-gateway.sh
%s/current/bin/app-gateway reset follow`, edge.RunDir, planeToken, planeKey, p.url, edge.Scripts, edge.Root))
	eventually(t, edgeTime, "the gateway says that it is ready", func() bool { return len(p.heard(ready)) > before })

	wanted := p.heard(ready)[before].Config
	wanted.Organization, wanted.Version = "acme", 0
	body, err := json.Marshal(wanted)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+g.webAddress(t)+edgeapi.StartPath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+lifecycle.Key(planeKey).Token(wanted))
	response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("allocate %+v: %s %s, %v", wanted, response.Status, answer, err)
	}
	return wanted
}

// webAddress is where the web port is published.
func (g *Gateway) webAddress(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(g.Running(t).Settings.HTTPPort))
}

// An organization's data is with the control plane when its gateway has stopped,
// whoever stops it.
func TestStopDeliversTheLastPush(t *testing.T) {
	t.Parallel()
	g := started(t, "lastpush")
	g.edgeReady(t)
	plane := newControlPlane(t, g)
	for name, stop := range map[string]func(){
		"docker stop":  func() { docker(t, "stop", g.Resource()) },
		"gateway stop": func() { g.CLI(t, "gateway", "stop").Exits(t, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			g.Start(t)
			g.edgeReady(t)
			allocated := plane.adopt(t, g)
			const path = "/gateway/data/push"
			before := len(plane.heard(path))
			began := time.Now()
			stop()
			took := time.Since(began)
			eventually(t, 2*time.Second, "the push arrives", func() bool { return len(plane.heard(path)) > before })
			pushes := plane.heard(path)[before:]
			t.Logf("pushed after %s of a stop of %s", pushes[0].at.Sub(began).Round(time.Millisecond), took.Round(time.Millisecond))
			got := pushes[0].Config
			if len(pushes) != 1 || got.GatewayID != allocated.GatewayID || got.Epoch != allocated.Epoch || got.Version != 1 {
				t.Errorf("allocated as %+v, pushed %+v", allocated, pushes)
			}
			if waiting := strings.Fields(g.OnVolume(t, "", "find current/edge/spool -name '*.json.gz'")); len(waiting) > 0 {
				t.Errorf("still in the spool: %v", waiting)
			}
		})
	}
}
