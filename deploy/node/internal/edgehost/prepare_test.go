package edgehost

import (
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/gateway"
)

func newHost(t *testing.T) *Host {
	t.Helper()
	dir := t.TempDir()
	h := &Host{
		settings: gateway.Settings{
			Name: "Dev_1", Bind: "10.9.0.1", GatewayHosts: []string{"Box.lan"},
			Network: gateway.Network{PodCIDR: netip.MustParsePrefix("10.2.0.0/20")},
		},
		hostname: gateway.Name("Dev_1").Hostname(),
		state:    filepath.Join(dir, "volume/current/edge"), run: filepath.Join(dir, "run/edge"),
		builtIn: filepath.Join(dir, "release"), sysctl: filepath.Join(dir, "ip_nonlocal_bind"),
	}
	release(t, h.builtIn)
	return h
}

// release makes a complete one.
func release(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"app/main.sh", "app/entrypoint-dev.sh", "bin/app-gateway"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func mustPrepare(t *testing.T, h *Host) {
	t.Helper()
	if err := h.Prepare(); err != nil {
		t.Fatal(err)
	}
}

func modes(t *testing.T, root string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(root, path)
		found[name] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A state that has never seen an edge gets everything, and a second time
// nothing changes.
func TestEverythingIsPreparedOnce(t *testing.T) {
	h := newHost(t)
	mustPrepare(t, h)
	want := map[string]fs.FileMode{
		".": fs.ModeDir | 0o700, "gateway": fs.ModeDir | 0o700, "gateway/releases": fs.ModeDir | 0o700, "vpn": fs.ModeDir | 0o700,
		"logs": fs.ModeDir | 0o700, "spool": fs.ModeDir | 0o700, "gateway-id": 0o600,
		"gateway/current": fs.ModeSymlink | 0o777, "gateway/app": fs.ModeSymlink | 0o777,
	}
	if diff := cmp.Diff(want, modes(t, h.state)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]fs.FileMode{".": fs.ModeDir | 0o711, environmentFile: 0o600}, modes(t, h.run)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(h.state, "gateway/app/main.sh")); err != nil {
		t.Errorf("the scripts are not reached through app: %v", err)
	}
	first, err := os.ReadFile(filepath.Join(h.run, environmentFile))
	if err != nil {
		t.Fatal(err)
	}
	mustPrepare(t, h)
	if again, err := os.ReadFile(filepath.Join(h.run, environmentFile)); err != nil || string(again) != string(first) {
		t.Errorf("the environment changed: %v\n%s\n%s", err, first, again)
	}
}

func TestReleaseThatLacksSomethingGivesWay(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(t *testing.T, h *Host, mine string)
		kept   bool
	}{
		"complete":            {func(*testing.T, *Host, string) {}, true},
		"no app-gateway":      {func(t *testing.T, _ *Host, mine string) { remove(t, filepath.Join(mine, "bin/app-gateway")) }, false},
		"not executable":      {func(t *testing.T, _ *Host, mine string) { os.Chmod(filepath.Join(mine, "app/main.sh"), 0o644) }, false},
		"a link into nowhere": {func(t *testing.T, _ *Host, mine string) { remove(t, mine) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			mine := filepath.Join(h.state, "gateway/releases/0123")
			release(t, mine)
			current := filepath.Join(h.state, "gateway/current")
			if err := os.Symlink("releases/0123", current); err != nil {
				t.Fatal(err)
			}
			test.damage(t, h, mine)
			mustPrepare(t, h)
			want := h.builtIn
			if test.kept {
				want = "releases/0123"
			}
			if got, err := os.Readlink(current); err != nil || got != want {
				t.Errorf("current leads to %q, %v; want %q", got, err, want)
			}
		})
	}
}

// A reload that was killed after it had switched leaves a build that nobody has
// seen to work.
func TestReleaseThatIsUnprovenGivesWay(t *testing.T) {
	for name, test := range map[string]struct{ pending, want string }{
		"to the release before":           {"releases/0123\n", "releases/0123"},
		"to the image's":                  {"BUILTIN\n", "BUILTIN"},
		"not to a release that is gone":   {"releases/gone\n", "BUILTIN"},
		"not without the name of another": {"\n", "releases/4567"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			root := filepath.Join(h.state, "gateway")
			release(t, filepath.Join(root, "releases/0123"))
			release(t, filepath.Join(root, "releases/4567"))
			current, pending := filepath.Join(root, "current"), filepath.Join(root, "pending")
			if err := os.Symlink("releases/4567", current); err != nil {
				t.Fatal(err)
			}
			builtIn := strings.NewReplacer("BUILTIN", h.builtIn)
			if err := os.WriteFile(pending, []byte(builtIn.Replace(test.pending)), 0o600); err != nil {
				t.Fatal(err)
			}
			mustPrepare(t, h)
			if got, err := os.Readlink(current); err != nil || got != builtIn.Replace(test.want) {
				t.Errorf("current leads to %q, %v; want %q", got, err, builtIn.Replace(test.want))
			}
			if exists(pending) {
				t.Error("the next boot would do it again")
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestImageWithoutAReleaseIsAnError(t *testing.T) {
	h := newHost(t)
	remove(t, h.builtIn)
	if err := h.Prepare(); err == nil || !strings.Contains(err.Error(), "release of the image") {
		t.Errorf("got %v", err)
	}
}

func TestGatewayIDIsDrawnOnceAndRepaired(t *testing.T) {
	h := newHost(t)
	mustPrepare(t, h)
	path := filepath.Join(h.state, "gateway-id")
	first, _ := os.ReadFile(path)
	mustPrepare(t, h)
	if again, _ := os.ReadFile(path); string(again) != string(first) || !uuid.MatchString(strings.TrimSpace(string(first))) {
		t.Errorf("first %q, then %q", first, again)
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustPrepare(t, h)
	if now, _ := os.ReadFile(path); !uuid.MatchString(strings.TrimSpace(string(now))) {
		t.Errorf("it is %q now", now)
	}
}

func TestEnvironmentIsThatOfTheGateway(t *testing.T) {
	h := newHost(t)
	label := strings.TrimPrefix(h.hostname, "openshell-cluster-")
	want := []string{
		"DOMAIN=localhost", "ENV_NAME=" + label, "GATEWAY_ALLOWED_HOSTS=10.9.0.1,box.lan," + h.hostname,
		"GATEWAY_FQDN=" + h.hostname, "GATEWAY_HTTP_PORT=7100", "GATEWAY_ID=an-id",
		"GATEWAY_POD_CIDR=10.2.0.0/20", "GATEWAY_VPN_PORT=49100",
	}
	if diff := cmp.Diff(want, h.environment("an-id")); diff != "" {
		t.Error(diff)
	}
	h.settings.Name = "dev"
	if got := h.environment("an-id")[1]; got != "ENV_NAME=dev" {
		t.Errorf("a name that is a label became %s", got)
	}
	for _, open := range []string{"0.0.0.0", "::"} {
		h.settings.Bind = open
		if slices.Contains(h.allowedHosts(), open) {
			t.Errorf("%s is no name that a request can be for", open)
		}
	}
}
