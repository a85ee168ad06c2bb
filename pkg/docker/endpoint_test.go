package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/fault"
)

// machine is a home directory with Docker's configuration.
type machine struct {
	home string
	env  map[string]string
}

func newMachine(t *testing.T) *machine {
	home := t.TempDir()
	return &machine{home, map[string]string{"HOME": home, "USERPROFILE": home}}
}

func (m *machine) getenv(k string) string { return m.env[k] }

func (m *machine) write(t *testing.T, path, content string) {
	t.Helper()
	path = filepath.Join(m.home, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) context(t *testing.T, dir, name, meta string) {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	m.write(t, filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), meta)
}

const colima = `{"Name":"colima","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///c/docker.sock","SkipTLSVerify":false}}}`

func TestDiscoverFollowsTheOrderOfTheDockerCommand(t *testing.T) {
	for _, tc := range []struct {
		name   string
		set    func(*testing.T, *machine)
		host   string
		source string
	}{
		{"DOCKER_HOST beats a context", func(t *testing.T, m *machine) {
			m.env["DOCKER_HOST"], m.env["DOCKER_CONTEXT"] = "unix:///h.sock", "colima"
			m.context(t, ".docker", "colima", colima)
		}, "unix:///h.sock", "DOCKER_HOST"},
		{"DOCKER_CONTEXT beats the current context", func(t *testing.T, m *machine) {
			m.env["DOCKER_CONTEXT"] = "colima"
			m.write(t, ".docker/config.json", `{"currentContext":"other"}`)
			m.context(t, ".docker", "colima", colima)
		}, "unix:///c/docker.sock", `"colima"`},
		{"the current context", func(t *testing.T, m *machine) {
			m.write(t, ".docker/config.json", `{"auths":{},"currentContext":"colima"}`)
			m.context(t, ".docker", "colima", colima)
		}, "unix:///c/docker.sock", `"colima"`},
		{"DOCKER_CONFIG names another directory", func(t *testing.T, m *machine) {
			m.env["DOCKER_CONFIG"] = filepath.Join(m.home, "dc")
			m.write(t, "dc/config.json", `{"currentContext":"colima"}`)
			m.context(t, "dc", "colima", colima)
		}, "unix:///c/docker.sock", `"colima"`},
		{"a named pipe", func(_ *testing.T, m *machine) {
			m.env["DOCKER_HOST"] = "npipe:////./pipe/docker_engine"
		}, "npipe:////./pipe/docker_engine", "DOCKER_HOST"},
		{"the context default means the usual sockets", func(t *testing.T, m *machine) {
			m.env["DOCKER_CONTEXT"] = "default"
			m.write(t, ".docker/config.json", `{"currentContext":"colima"}`)
			m.write(t, "run/docker.sock", "")
			m.env["XDG_RUNTIME_DIR"] = filepath.Join(m.home, "run")
		}, "/run/docker.sock", "usual places"},
		{"an empty configuration means the usual sockets", func(t *testing.T, m *machine) {
			m.write(t, ".docker/config.json", "")
			m.write(t, ".colima/default/docker.sock", "")
		}, "docker.sock", "usual places"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			tc.set(t, m)
			ep, err := discover(m.getenv, "linux")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(ep.host, tc.host) || !strings.Contains(ep.source, tc.source) {
				t.Errorf("got %+v, want %s from %s", ep, tc.host, tc.source)
			}
		})
	}
}

func TestDiscoverRefuses(t *testing.T) {
	host := func(h string) func(*testing.T, *machine) {
		return func(_ *testing.T, m *machine) { m.env["DOCKER_HOST"] = h }
	}
	for _, tc := range []struct {
		name string
		set  func(*testing.T, *machine)
		id   fault.ID
		says string
	}{
		{"ssh", host("ssh://me:secret@box"), fault.DockerRemote, "ssh://box"},
		{"tcp", host("tcp://127.0.0.1:2375"), fault.DockerRemote, "tcp://127.0.0.1:2375"},
		{"http", host("http://box:2375"), fault.DockerRemote, "http://box:2375"},
		{"https", host("https://box:2376"), fault.DockerRemote, "https://box:2376"},
		{"a bare path", host("/var/run/docker.sock"), fault.DockerUnreachable, "unix:///path"},
		{"no path", host("unix://"), fault.DockerUnreachable, "unix:///path"},
		{"a remote context", func(t *testing.T, m *machine) {
			m.env["DOCKER_CONTEXT"] = "box"
			m.context(t, ".docker", "box", `{"Endpoints":{"docker":{"Host":"ssh://box"}}}`)
		}, fault.DockerRemote, `the Docker context "box"`},
		{"an absent context", func(t *testing.T, m *machine) {
			m.write(t, ".docker/config.json", `{"currentContext":"gone"}`)
		}, fault.DockerUnreachable, `"gone"`},
		{"a damaged context", func(t *testing.T, m *machine) {
			m.env["DOCKER_CONTEXT"] = "box"
			m.context(t, ".docker", "box", `{`)
		}, fault.DockerUnreachable, `"box"`},
		{"a damaged configuration", func(t *testing.T, m *machine) {
			m.write(t, ".docker/config.json", `{"currentContext":`)
		}, fault.DockerUnreachable, "config.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			tc.set(t, m)
			_, err := discover(m.getenv, "linux")
			if !fault.HasID(err, tc.id) || fault.ExitOf(err) != fault.ExitUnreachable {
				t.Fatalf("err %v, exit %d; want %s, exit 4", err, fault.ExitOf(err), tc.id)
			}
			var f *fault.Error
			if errors.As(err, &f); !strings.Contains(f.Message, tc.says) || strings.Contains(err.Error(), "secret") || len(f.Hints) == 0 {
				t.Errorf("message %q, hints %q", f.Message, f.Hints)
			}
		})
	}
}

func TestSocketsAreTriedInOneOrder(t *testing.T) {
	m := newMachine(t)
	m.env["XDG_RUNTIME_DIR"] = "/run/user/1000"
	got := sockets(m.getenv, "linux")
	if got[0] != "/var/run/docker.sock" || got[1] != "/run/user/1000/docker.sock" {
		t.Errorf("linux: %v", got)
	}
	for _, want := range []string{".docker/run", ".colima", ".rd", ".orbstack"} {
		if !strings.Contains(strings.Join(got, "\n"), filepath.Join(m.home, want)) {
			t.Errorf("%s is not tried", want)
		}
	}
	if got := sockets(m.getenv, "windows"); scheme("windows")+got[0] != "npipe:////./pipe/docker_engine" {
		t.Errorf("windows: %v", got)
	}
}

func TestFirstSocketThatExistsIsTaken(t *testing.T) {
	m := newMachine(t)
	at := func(p string) string { return filepath.Join(m.home, p) }
	m.write(t, "second.sock", "")
	m.write(t, "third.sock", "")
	ep, err := firstSocket([]string{at("first.sock"), at("second.sock"), at("third.sock")}, "linux")
	if err != nil || ep.host != "unix://"+at("second.sock") {
		t.Errorf("got %+v, %v", ep, err)
	}
	_, err = firstSocket([]string{at("first.sock"), at("fourth.sock")}, "linux")
	if !fault.HasID(err, fault.DockerUnreachable) || fault.ExitOf(err) != fault.ExitUnreachable ||
		!strings.Contains(err.Error(), at("first.sock")) || !strings.Contains(err.Error(), at("fourth.sock")) {
		t.Errorf("none: %v", err)
	}
}

// A socket that exists and does not answer must not lead to another engine: a
// gateway of the first would look absent there.
func TestPitfall10SilentEngineIsNotAbsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"unix://" + path, "unix:///nonexistent/docker.sock"} {
		_, err = Connect(t.Context(), func(k string) string { return map[string]string{"DOCKER_HOST": host}[k] })
		if !fault.HasID(err, fault.DockerUnreachable) || fault.ExitOf(err) != fault.ExitUnreachable {
			t.Fatalf("err %v", err)
		}
		if !strings.Contains(err.Error(), host) {
			t.Errorf("%q does not name the endpoint", err)
		}
	}
}

func TestPermissionDeniedHasItsOwnHint(t *testing.T) {
	err := unreachable(endpoint{"unix:///var/run/docker.sock", "DOCKER_HOST"},
		errors.New("permission denied while trying to connect to the docker API at unix:///var/run/docker.sock"))
	if !strings.Contains(err.Message, "permission") {
		t.Errorf("message %q", err.Message)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Hints[0], "usermod") {
		t.Errorf("hints %q", err.Hints)
	}
}

func FuzzContextFiles(f *testing.F) {
	f.Add([]byte(colima))
	f.Add([]byte(`{"currentContext":"colima"}`))
	f.Add([]byte(`{"Endpoints":{"docker":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if host, err := metaHost(data); err == nil && host != "" {
			if ep, err := local(host, "fuzz"); err == nil && !strings.HasPrefix(ep.host, "unix://") && !strings.HasPrefix(ep.host, "npipe://") {
				t.Errorf("%q was accepted", ep.host)
			}
		}
		_, _ = currentContext(data)
	})
}
