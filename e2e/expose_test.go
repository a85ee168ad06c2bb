//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// exposedPort is a port of a sandbox with a URL, as `sandbox expose` says it.
type exposedPort struct {
	Host    string `json:"host"`
	Port    int    `json:"port"`
	URL     string `json:"url"`
	PathURL string `json:"pathUrl"`
}

// expose has a port of the sandbox exposed.
func (b *Box) expose(t *testing.T, port int, flags ...string) exposedPort {
	t.Helper()
	args := append([]string{"sandbox", "expose", b.Name, fmt.Sprint(port), "-o", "json"}, flags...)
	var document exposedPort
	b.g.CLI(t, args...).Exits(t, 0).JSON(t, &document)
	return document
}

// fetch gets a page as a browser does, for which every name below localhost is
// this machine.
func fetch(t *testing.T, address string) (status int, body string) {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatalf("%q is no URL: %v", address, err)
	}
	browser := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", target.Port()))
		},
	}}
	response, err := browser.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(content)
}

// serves waits until a URL shows a page with a text.
func serves(t *testing.T, address, text string) {
	t.Helper()
	eventually(t, time.Minute, address+" shows "+text, func() bool {
		status, body := fetch(t, address)
		return status == http.StatusOK && strings.Contains(body, text)
	})
}

// answers waits until a URL has a status.
func answers(t *testing.T, address string, want int) {
	t.Helper()
	eventually(t, 10*time.Second, fmt.Sprintf("%s answers %d", address, want), func() bool {
		status, _ := fetch(t, address)
		return status == want
	})
}

// webSandbox runs a web server on port 8000 that says hello from the sandbox,
// under / and under its own name.
func webSandbox(t *testing.T, g *Gateway, name string) *Box {
	t.Helper()
	serve := fmt.Sprintf("mkdir -p site/%[1]s; echo 'hello from %[1]s' | tee site/index.html >site/%[1]s/index.html; exec python3 -m http.server --directory site 8000", name)
	g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", name, "--detach", "--", "sh", "-c", serve).Exits(t, 0)
	return &Box{g, name} // it goes with its gateway
}

// Ports of sandboxes have URLs, first come, that stay until they are taken back.
func TestExposedPorts(t *testing.T) {
	t.Parallel()
	g := started(t, "expose")
	web, other := webSandbox(t, g, "web"), webSandbox(t, g, "other")
	page := web.expose(t, 8000)
	if page.Host != "web" || page.URL == page.PathURL {
		t.Fatalf("exposed as %+v", page)
	}
	began := time.Now()
	serves(t, page.URL, "hello from web")
	t.Logf("served %s after it was exposed", time.Since(began).Round(time.Millisecond))
	serves(t, page.PathURL, "hello from web")

	t.Run("a name is its first owner's", func(t *testing.T) {
		g.CLI(t, "sandbox", "expose", "other", "8000", "--as", "web").Exits(t, 5).Says(t, "web belongs to port 8000 of sandbox web")
		if again := web.expose(t, 8000); again != page {
			t.Errorf("exposed again as %+v", again)
		}
		if second := other.expose(t, 8000, "--as", "shop"); second.Host != "shop" {
			t.Errorf("exposed as %+v", second)
		}
		serves(t, strings.Replace(page.URL, "web.", "shop.", 1), "hello from other")
		serves(t, page.URL, "hello from web")
		g.CLI(t, "sandbox", "expose", "web", fmt.Sprint(sandboxapi.SSHPort)).Exits(t, 2)
		g.CLI(t, "sandbox", "expose", "web", "8000", "--as", "collab").Exits(t, 2)
	})

	t.Run("who listens wrongly is told so", func(t *testing.T) {
		g.CLI(t, "sandbox", "expose", "web", "8001", "--as", "early").Exits(t, 0).Says(t, "nothing listens on port 8001")
		early := strings.Replace(page.URL, "web.", "early.", 1)
		answers(t, early, http.StatusBadGateway)
		web.sh(t, "setsid python3 -m http.server --bind 127.0.0.1 8001 </dev/null >/dev/null 2>&1 &")
		eventually(t, 30*time.Second, "the server listens on 127.0.0.1", func() bool {
			return strings.Contains(g.CLI(t, "sandbox", "expose", "web", "8001", "--as", "early").Exits(t, 0).Stderr, "listens on 127.0.0.1 only")
		})
		g.CLI(t, "sandbox", "unexpose", "web", "early").Exits(t, 0)
		answers(t, early, http.StatusNotFound)
	})

	t.Run("after a stop and a start", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		g.Start(t)
		serves(t, page.URL, "hello from web")
		serves(t, page.PathURL, "hello from web")
		serves(t, strings.Replace(page.URL, "web.", "shop.", 1), "hello from other")
	})

	t.Run("a stopped sandbox keeps its name", func(t *testing.T) {
		g.CLI(t, "sandbox", "stop", "web").Exits(t, 0)
		answers(t, page.URL, http.StatusBadGateway)
		g.CLI(t, "sandbox", "expose", "other", "8000", "--as", "web").Exits(t, 5)
		g.CLI(t, "sandbox", "start", "web").Exits(t, 0)
		serves(t, page.URL, "hello from web")
	})

	t.Run("listed", func(t *testing.T) {
		g.CLI(t, "sandbox", "get", "web").Exits(t, 0).Says(t, "port 8000, "+page.URL)
		g.CLI(t, "gateway", "routes").Exits(t, 0).Says(t, page.URL, "sandbox/other")
		var list struct {
			Routes []struct{ Host, Sandbox string } `json:"routes"`
		}
		r := g.run(t, "", "curl", "--silent", "--fail", "--cacert", g.Bundle("ca.crt"), "--cert", g.Bundle("tls.crt"), "--key", g.Bundle("tls.key"), g.Endpoint()+"/v1/routes")
		if err := json.Unmarshal([]byte(r.Exits(t, 0).Stdout), &list); err != nil || len(list.Routes) != 2 {
			t.Errorf("routes as JSON: %v, %+v", err, list)
		}
	})

	t.Run("unexposed", func(t *testing.T) {
		g.CLI(t, "sandbox", "unexpose", "other", "8000").Exits(t, 0).Says(t, "no longer exposed as shop")
		answers(t, strings.Replace(page.URL, "web.", "shop.", 1), http.StatusNotFound)
		g.CLI(t, "sandbox", "unexpose", "other", "8000").Exits(t, 1)
		serves(t, page.URL, "hello from web")
	})

	t.Run("a deleted sandbox frees its name", func(t *testing.T) {
		g.CLI(t, "sandbox", "delete", "web").Exits(t, 0)
		answers(t, page.URL, http.StatusNotFound)
		if taken := other.expose(t, 8000, "--as", "web"); taken.URL != page.URL {
			t.Errorf("exposed as %+v", taken)
		}
		serves(t, page.URL, "hello from other")
	})
}
