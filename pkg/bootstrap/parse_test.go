package bootstrap

import (
	"slices"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/nodeapi"
)

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		order int
		ok    bool
	}{
		{"v0.3.0", "v0.3.0", 0, true},
		{"0.3.0", "v0.3.0", 0, true},
		{"v0.3.0", "v0.10.0", -1, true},
		{"v1.0.0", "v0.10.9", 1, true},
		{"v0.3.0-12-g1a2b3c4", "v0.3.0", 1, true},
		{"v0.3.0-2-g1a2b3c4", "v0.3.0-12-gffffff0-dirty", -1, true},
		{"0.1.0-dev.29.g05b6539", "0.1.0-dev.32.g33afb71.dirty", -1, true},
		{"0.1.0-dev.29.g05b6539", "0.1.0", -1, true},
		{"dev", "v0.3.0", 0, false},
		{"v0.3", "v0.3.0", 0, false},
		{"", "", 0, false},
	} {
		order, ok := compareVersions(c.a, c.b)
		if order != c.order || ok != c.ok {
			t.Errorf("%s to %s: %d, %t; want %d, %t", c.a, c.b, order, ok, c.order, c.ok)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("v0.3.0-12-g1a2b3c4", "0.1.0-dev.32.g33afb71.dirty")
	f.Add("v99999999999999999999.0.0", "v1.0.0")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := compareVersions(a, b)
		y, okBack := compareVersions(b, a)
		if ok != okBack || x != -y {
			t.Errorf("%q to %q: %d, %t; back: %d, %t", a, b, x, ok, y, okBack)
		}
	})
}

func TestParseEntries(t *testing.T) {
	for paths, want := range map[string]volumeEntries{
		"":                                      {},
		"lost+found\n":                          {},
		"current\n":                             {},
		"current\ncurrent/gateway.json\n":       {},
		"current\ncurrent/pki\n":                {state: true},
		"aside-20260101T000000Z\ncurrent\n":     {asides: []string{"aside-20260101T000000Z"}},
		"aside-b\naside-a\naside-a/etcd\nother": {asides: []string{"aside-a", "aside-b"}},
	} {
		got := parseEntries(paths)
		if got.state != want.state || !slices.Equal(got.asides, want.asides) {
			t.Errorf("%q: %+v, want %+v", paths, got, want)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add("aside-b\ncurrent/etcd\r\n\n")
	f.Fuzz(func(t *testing.T, paths string) {
		if e := parseEntries(paths); e.state && !strings.Contains(paths, "current/") {
			t.Errorf("%q: %+v", paths, e)
		}
	})
}

func TestStuckAt(t *testing.T) {
	for want, s := range map[string]nodeapi.Status{
		"no milestone was reached": {},
		"the last milestone was etcd; control-plane is in backoff after: exit 1: no space": {
			Milestones: []nodeapi.Reached{{Name: nodeapi.Etcd}},
			Components: []nodeapi.Component{{Name: "control-plane", State: "backoff", LastExit: "exit 1: no space"}, {Name: "containerd", State: "ready", LastExit: "killed"}},
		},
		"no milestone was reached; node is not ready; workload: openshell-0 is pending": {
			Components: []nodeapi.Component{{Name: "node", State: "running"}},
			Checks:     []nodeapi.Check{{ID: "workload", Message: "openshell-0 is pending"}, {ID: "api", OK: true}},
		},
	} {
		if got := stuckAt(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
