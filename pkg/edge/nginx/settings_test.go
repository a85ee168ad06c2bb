package nginx

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// environment is that of a gateway, changed by "NAME=value" words.
func environment(changes ...string) func(string) string {
	values := map[string]string{
		"APP_GATEWAY_PORT": "7100", "NGINX_CONFIG": "/etc/nginx/conf.d/reverse-proxy.conf", "GATEWAY_RUN": "/run/openshell-edge", "LOG_FILE": "/logs/gateway.log",
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for _, file := range []string{cert, key} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := SettingsFrom(environment("GATEWAY_ALLOWED_HOSTS=Laptop.lan,10.0.0.1, gw.example.org. web.localhost ::1,localhost", "GATEWAY_FQDN=gw.example.org",
		"GATEWAY_POD_CIDR=10.208.0.0/20", "GATEWAY_TLS_CERT="+cert, "GATEWAY_TLS_KEY="+key))
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Port: 7100, Hosts: []string{"gw.example.org", "host.docker.internal", "laptop.lan", "localhost"}, Pods: pods, TLSCert: cert, TLSKey: key,
		Live: "/etc/nginx/conf.d/reverse-proxy.conf", Run: "/run/openshell-edge", Log: "/logs/nginx.log", Program: Program,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSettingsRefusals(t *testing.T) {
	for change, want := range map[string]string{
		"APP_GATEWAY_PORT=":                         "APP_GATEWAY_PORT",
		"APP_GATEWAY_PORT=0":                        "APP_GATEWAY_PORT",
		"APP_GATEWAY_PORT=7100;":                    "APP_GATEWAY_PORT",
		"GATEWAY_POD_CIDR=10.0.0.0":                 "GATEWAY_POD_CIDR",
		"GATEWAY_POD_CIDR=fd00::/8":                 "GATEWAY_POD_CIDR",
		"GATEWAY_ALLOWED_HOSTS=a.example:80":        "GATEWAY_ALLOWED_HOSTS",
		"GATEWAY_ALLOWED_HOSTS=a;b":                 "GATEWAY_ALLOWED_HOSTS",
		"GATEWAY_ALLOWED_HOSTS=*.example":           "GATEWAY_ALLOWED_HOSTS",
		"GATEWAY_ALLOWED_HOSTS=~.*":                 "GATEWAY_ALLOWED_HOSTS",
		"GATEWAY_FQDN=a..b":                         "GATEWAY_FQDN",
		"GATEWAY_RUN=":                              "GATEWAY_RUN",
		"GATEWAY_RUN=run":                           "GATEWAY_RUN",
		"NGINX_CONFIG=/tmp/a b":                     "NGINX_CONFIG",
		"NGINX_CONFIG=/tmp/a;":                      "NGINX_CONFIG",
		"LOG_FILE=gateway.log":                      "LOG_FILE",
		"GATEWAY_TLS_CERT=/etc/passwd":              "belong together",
		"GATEWAY_TLS_KEY=/etc/$x":                   "GATEWAY_TLS_KEY",
		"GATEWAY_ALLOWED_HOSTS=a\nserver_name":      "GATEWAY_ALLOWED_HOSTS",
		"GATEWAY_FQDN=" + strings.Repeat("a.", 128): "GATEWAY_FQDN",
	} {
		if got, err := SettingsFrom(environment(change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want an error about %s", change, got, err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := SettingsFrom(environment("GATEWAY_TLS_CERT="+missing, "GATEWAY_TLS_KEY="+missing)); err == nil {
		t.Error("a certificate that is not there was accepted")
	}
}
