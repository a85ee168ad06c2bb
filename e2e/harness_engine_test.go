//go:build e2e || soak || bench

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Engine is a Docker Engine of a scenario's own, in a network namespace and
// with a data directory of its own, so that it can be stopped and every port is
// free.
type Engine struct {
	name   string
	dir    string // sockets, runtime state and log
	data   string
	daemon *exec.Cmd
	log    bytes.Buffer
}

// newEngine starts an engine that holds the node image, and sees to it that
// nothing of it is left when the test ends.
func newEngine(t *testing.T) *Engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: an engine of its own needs root")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		t.Skip("NOT RUN: dockerd is not installed here")
	}
	data, err := os.MkdirTemp("", "openshell-"+namePrefix+"engine"+runID+"-")
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{name: filepath.Base(data), data: data}
	e.dir = filepath.Join("/run", e.name) // short: a socket's path has 108 bytes at most
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.remove(t) })
	run(t, nil, "", "ip", "netns", "add", e.name).Exits(t, 0)
	e.run(t, nil, "", "ip", "link", "set", "lo", "up").Exits(t, 0)
	e.Start(t)
	archive := filepath.Join(e.data, "node.tar")
	docker(t, "image", "save", "--output", archive, nodeImage(t))
	e.Docker(t, "image", "load", "--input", archive)
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *Engine) socket() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

// run runs a command that sees this engine and its network, and no other.
func (e *Engine) run(t testing.TB, env []string, stdin, name string, args ...string) Result {
	t.Helper()
	env = append(env, "DOCKER_HOST="+e.socket())
	return run(t, env, stdin, "nsenter", append([]string{"--net=/run/netns/" + e.name, "--", name}, args...)...)
}

// Docker runs the docker command on this engine; it must succeed.
func (e *Engine) Docker(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(e.run(t, nil, "", "docker", args...).Exits(t, 0).Stdout)
}

// Start starts the daemon and waits until it answers.
func (e *Engine) Start(t testing.TB) {
	t.Helper()
	e.daemon = exec.Command("nsenter", "--net=/run/netns/"+e.name, "--", "dockerd",
		"--host", e.socket(), "--data-root", e.data, "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "dockerd.pid"))
	e.daemon.Stdout, e.daemon.Stderr = &e.log, &e.log
	if err := e.daemon.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the engine answers", func() bool {
		return e.run(t, nil, "", "docker", "version").Code == 0
	})
}

// Stop ends the daemon as a restart of the machine would: politely, and with
// it every container.
func (e *Engine) Stop(t testing.TB) {
	t.Helper()
	if e.daemon == nil {
		return
	}
	if err := e.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the engine was gone already: %v", err)
	}
	_ = e.daemon.Wait() // how it ended is shown by its log
	e.daemon = nil
}

func (e *Engine) remove(t *testing.T) {
	e.Stop(t)
	if t.Failed() {
		lines := strings.Split(e.log.String(), "\n")
		t.Logf("the engine's last words:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
	run(t, nil, "", "ip", "netns", "del", e.name)
	// What a killed daemon left mounted.
	run(t, nil, "", "sh", "-c", fmt.Sprintf(
		`cut -d' ' -f2 /proc/mounts | grep -E '^(%s|%s)(/|$)' | sort -r | xargs -r umount -l`, e.dir, e.data))
	for _, dir := range []string{e.dir, e.data} {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
	}
}

// newGateway names a gateway on this engine. Nothing is started; it goes with
// the engine.
func (e *Engine) newGateway(t *testing.T, short string) *Gateway {
	t.Helper()
	g := &Gateway{Name: gatewayName(short), Port: 8080, Config: t.TempDir(), engine: e}
	t.Cleanup(func() {
		if t.Failed() {
			g.tell(t)
		}
	})
	return g
}
