//go:build e2e

package edge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNginxLeadsToServices(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	for _, n := range []int{0, 1, 1000, 1, 0} {
		answer := f.update(named("web", n))
		if got := answer.doc["services"]; got != float64(n) {
			t.Errorf("%d services: the answer has %v", n, got)
		}
		for path, want := range map[string]int{"/web-0": 200, "/web-0/": 200, "/web-999/x/y": 200, "/web-00/": 404, "/web": 404, "/": 404, "/collab/x": 200} {
			if n == 0 && strings.HasPrefix(path, "/web-0") || n < 1000 && strings.HasPrefix(path, "/web-999") {
				want = http.StatusNotFound
			}
			if got := f.get(path, nil); got.status != want {
				t.Errorf("%d services: %s: %d, want %d: %.200s", n, path, got.status, want, got.body)
			}
		}
	}
}

func TestNginxPassesRequestsOnAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\nother 172.16.1.3 9999\n")
	lies := http.Header{
		"X-Real-Ip": {"1.2.3.4"}, "X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"},
		"X-Forwarded-Prefix": {"/evil"}, "X-Forwarded-Port": {"1"}, "Forwarded": {"for=1.2.3.4"}, "Proxy": {"http://evil.example"},
		"Authorization": {"Bearer t"}, "Cookie": {"a=b"},
	}
	names := []string{"X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Port",
		"Forwarded", "Proxy", "Authorization", "Cookie"}
	for _, c := range []struct{ path, host, prefix string }{
		{"/web", "localhost:7100", "/web"},
		{"/web/a%2Fb//c/%C3%A9?q=%20&q=a+b", "localhost:7100", "/web"},
		{"/other/collab/ping", "host.docker.internal", "/other"},
		{"/", "web.localhost:7100", ""},
		{"/collab/502.html?x", "other.localhost:7199", ""},
		{"/502.html", "web.localhost", ""},
		{"/collab", "localhost", ""},
		{"/collab/a%2Fb?q", "[::1]:7100", ""},
	} {
		header := lies.Clone()
		header.Set("Host", c.host)
		got := f.get(c.path, header).echo(t)
		if got.URI != c.path || got.Host != c.host {
			t.Errorf("%s%s arrived as %s%s", c.host, c.path, got.Host, got.URI)
		}
		client := got.Header.Get("X-Real-Ip")
		if client == "" || client == "1.2.3.4" {
			t.Errorf("%s: X-Real-IP is %q", c.path, client)
		}
		have := map[string]string{}
		for _, name := range names {
			have[name] = strings.Join(got.Header[name], "|")
		}
		want := map[string]string{
			"X-Real-Ip": client, "X-Forwarded-For": client, "X-Forwarded-Proto": "http", "X-Forwarded-Host": c.host,
			"X-Forwarded-Prefix": c.prefix, "X-Forwarded-Port": "", "Forwarded": "", "Proxy": "", "Authorization": "Bearer t", "Cookie": "a=b",
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s%s: headers (-want +got):\n%s", c.host, c.path, diff)
		}
	}
	big := strings.NewReader(strings.Repeat("x", 20<<20))
	p, err := f.do(http.DefaultClient, http.MethodPost, "http://"+f.address+"/web/upload", nil, big)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.echo(t); got.Size != 20<<20 {
		t.Errorf("20 MiB arrived as %d bytes", got.Size)
	}
}

func TestNginxRefusesUnknownHosts(t *testing.T) {
	t.Parallel()
	f := newFront(t, "--env", "GATEWAY_ALLOWED_HOSTS=Laptop.lan,gw.example.org 10.0.0.1", "--env", "GATEWAY_FQDN=org-1.domain.local")
	f.update("web 172.16.1.2 8888\n")
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:7100": 200, "127.0.0.1:7100": 200, "10.0.0.1": 200, "[::1]": 200, "host.docker.internal:1": 200,
		"laptop.lan": 200, "gw.example.org:7100": 200, "org-1.domain.local": 200, "localhost.": 200,
		"evil.example": 421, "localhost.evil.example": 421, "evil-localhost": 421, "127.0.0.1.evil.example": 421, "1.2.3": 421,
		"x.laptop.lan": 421, "web.org-1.domain.local": 421,
		"none.localhost": 404, "a.web.localhost": 404, "collab.localhost": 404,
	} {
		for _, path := range []string{"/collab/ping", "/web/"} {
			if got := f.get(path, http.Header{"Host": {host}}); got.status != want || got.status != 200 && strings.Contains(got.body, "web") {
				t.Errorf("%s of host %s: %d, want %d: %.200s", path, host, got.status, want, got.body)
			}
		}
	}
}

func TestNginxSaysWhatIsDown(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\ndown 172.16.1.2 4567\n")
	for _, c := range []struct{ path, host string }{{"/down", "localhost"}, {"/down/x?y", "localhost"}, {"/x", "down.localhost:7100"}} {
		p := f.get(c.path, http.Header{"Host": {c.host}})
		if p.status != http.StatusBadGateway || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") || p.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %d %v", c, p.status, p.header)
		}
		for _, want := range []string{"<b>down</b>", "0.0.0.0", "<b>4567</b>"} {
			if !strings.Contains(p.body, want) {
				t.Errorf("%v: the page does not have %s:\n%s", c, want, p.body)
			}
		}
	}
	for path, host := range map[string]string{"/none/": "localhost", "/502.html": "localhost", "/": "none.localhost"} {
		p := f.get(path, http.Header{"Host": {host}})
		if p.status != http.StatusNotFound || !strings.Contains(p.body, "openshell gateway routes") || strings.Contains(p.body, "web") || strings.Contains(p.body, "nginx") {
			t.Errorf("%s of %s: %d: %s", path, host, p.status, p.body)
		}
	}
	f.sh(`for file in /proc/[0-9]*; do if [ "$(readlink "$file/exe")" = /opt/echo ]; then kill "${file#/proc/}"; fi; done`)
	eventually(t, patience, "app-gateway is gone", func() bool { return f.get("/collab/x", nil).status == http.StatusBadGateway })
	if p := f.get("/collab/x", nil); !strings.Contains(p.body, "app-gateway") {
		t.Errorf("the page does not say that it is app-gateway:\n%s", p.body)
	}
}
