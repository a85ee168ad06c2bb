package nginx

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge"
)

var update = flag.Bool("update", false, "write the golden files")

func testSettings() Settings {
	return Settings{
		Port: 7100, Hosts: []string{"gw.example.org", "host.docker.internal", "localhost"}, Pods: pods,
		Live: edge.NginxConfig, Run: edge.RunDir, Log: "/logs/nginx.log", Program: Program,
	}
}

func TestRenderGolden(t *testing.T) {
	secure := testSettings()
	secure.TLSCert, secure.TLSKey = "/run/secrets/tls.crt", "/run/secrets/tls.key"
	two := []edge.Service{service("pgadmin-def", "10.208.0.3", 5050), service("jupyter-abc", "172.16.1.2", 8888)}
	for name, c := range map[string]struct {
		settings Settings
		services []edge.Service
	}{
		"base": {testSettings(), nil}, "services": {testSettings(), two}, "tls": {secure, two},
	} {
		config, err := Render(c.settings, c.services)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".conf", config.Live)
		golden(t, "main.conf", config.Main)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// The order of services is no change, everything else is.
func TestRenderTellsConfigurationsApart(t *testing.T) {
	services := []edge.Service{service("a", "172.16.1.2", 1), service("b", "172.16.1.2", 1), service("c", "172.16.1.3", 2)}
	first, err := Render(testSettings(), services)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(services)
	again, err := Render(testSettings(), services)
	if err != nil || again != first {
		t.Errorf("another order is another configuration (%v)", err)
	}
	seen := map[string]bool{first.Generation: true}
	elsewhere := testSettings()
	elsewhere.Log = "/tmp/nginx.log"
	hosts := testSettings()
	hosts.Hosts = append(slices.Clone(hosts.Hosts), "other.example.org")
	for name, c := range map[string]struct {
		settings Settings
		services []edge.Service
	}{
		"a service less": {testSettings(), services[:2]}, "another log": {elsewhere, services}, "another host": {hosts, services},
		"another port": {testSettings(), append(slices.Clone(services[1:]), service("c", "172.16.1.3", 3))},
	} {
		config, err := Render(c.settings, c.services)
		if err != nil || seen[config.Generation] {
			t.Errorf("%s: the same generation (%v)", name, err)
		}
		seen[config.Generation] = true
		if strings.Count(config.Live, config.Generation) != 1 {
			t.Errorf("%s: nginx cannot tell its generation", name)
		}
	}
}
