//go:build e2e || soak || bench

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var enginePrefix = "openshell-" + namePrefix + "engine" + runID + "-"

// Engine is a Docker Engine of a scenario's own, in a network namespace, a
// control group and with a data directory of its own, so that it can be stopped
// and every port is free.
type Engine struct {
	name   string
	dir    string // sockets and runtime state: what a reboot empties
	data   string // images, containers, volumes, and the daemon's log
	flags  []string
	daemon *exec.Cmd
	via    string // socket that clients use instead of the daemon's; "": none
}

// newEngine starts an engine that holds the node image, and sees to it that
// nothing of it is left when the test ends.
func newEngine(t *testing.T, flags ...string) *Engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: an engine of its own needs root")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		t.Skip("NOT RUN: dockerd is not installed here")
	}
	e := emptyEngine(t, flags...)
	preparedData.copyTo(t, e.root())
	e.Start(t)
	return e
}

// emptyEngine is an engine without data, not started.
func emptyEngine(t testing.TB, flags ...string) *Engine {
	t.Helper()
	data, err := os.MkdirTemp("", enginePrefix)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(data)
	// Short: a socket's path has 108 bytes at most.
	e := &Engine{name: name, dir: filepath.Join("/run", name), data: data, flags: flags}
	t.Cleanup(func() { e.remove(t) })
	e.powerOn(t)
	return e
}

// powerOn makes what a machine has anew after every boot.
func (e *Engine) powerOn(t testing.TB) {
	t.Helper()
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "", "ip", "netns", "add", e.name).Exits(t, 0)
	e.run(t, nil, "", "ip", "link", "set", "lo", "up").Exits(t, 0)
}

func (e *Engine) root() string { return filepath.Join(e.data, "root") }

// Socket is the path of the socket that the daemon listens on.
func (e *Engine) Socket() string { return filepath.Join(e.dir, "docker.sock") }

// run runs a command that sees this engine and its network, and no other.
func (e *Engine) run(t testing.TB, env []string, stdin, name string, args ...string) Result {
	t.Helper()
	return run(t, append(env, e.env()...), stdin, "nsenter", e.inside(name, args...)...)
}

// inside are the arguments of nsenter for a command in this engine's network.
func (e *Engine) inside(name string, args ...string) []string {
	return append([]string{"--net=/run/netns/" + e.name, "--", name}, args...)
}

func (e *Engine) env() []string {
	return []string{"DOCKER_HOST=unix://" + cmp.Or(e.via, e.Socket())}
}

// Docker runs the docker command on this engine; it must succeed.
func (e *Engine) Docker(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(e.run(t, nil, "", "docker", args...).Exits(t, 0).Stdout)
}

// Start starts the daemon and waits until it answers.
func (e *Engine) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(e.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := []string{
		"--host", "unix://" + e.Socket(), "--data-root", e.root(), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "dockerd.pid"), "--cgroup-parent", "/" + e.name, "--exec-opt", "native.cgroupdriver=cgroupfs",
	}
	e.daemon = exec.Command("nsenter", e.inside("dockerd", append(args, e.flags...)...)...)
	// A file: shims have it too, and are not waited for.
	e.daemon.Stdout, e.daemon.Stderr = log, log
	if err := e.daemon.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the engine answers", func() bool {
		return run(t, []string{"DOCKER_HOST=unix://" + e.Socket()}, "", "docker", "version").Code == 0
	})
}

func (e *Engine) log() string { return filepath.Join(e.data, "log") }

// Stop ends the daemon as a restart of the machine would: politely, and with
// it every container, unless they are to live on.
func (e *Engine) Stop(t testing.TB) { e.end(t, syscall.SIGTERM) }

// Kill ends the daemon without a warning. The kernel ends its containerd with
// it; containers stay.
func (e *Engine) Kill(t testing.TB) { e.end(t, syscall.SIGKILL) }

func (e *Engine) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if e.daemon == nil {
		return
	}
	containerd := e.containerd()
	if err := e.daemon.Process.Signal(signal); err != nil {
		t.Errorf("the engine was gone already: %v", err)
	}
	_ = e.daemon.Wait() // how it ended is shown by its log
	e.daemon = nil
	// The next daemon would take a dead one that nobody has waited for yet for
	// its own, and not start another.
	eventually(t, time.Minute, "containerd is gone", func() bool {
		_, err := os.Stat("/proc/" + containerd)
		return containerd == "" || os.IsNotExist(err)
	})
}

// containerd is the process id of the daemon's containerd; "" when it is not known.
func (e *Engine) containerd() string {
	pid, err := os.ReadFile(filepath.Join(e.dir, "exec/containerd/containerd.pid"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(pid))
}

// PowerLoss ends every process of the engine and of its containers at once, and
// takes away what is in memory: interfaces, rules, mounts and the files below
// /run.
func (e *Engine) PowerLoss(t testing.TB) {
	t.Helper()
	e.powerOff(t)
	e.powerOn(t)
}

func (e *Engine) powerOff(t testing.TB) {
	t.Helper()
	// Named by the hash of a path; a shim that is killed leaves its socket.
	addresses, _ := filepath.Glob(filepath.Join(e.dir, "exec/containerd/daemon/io.containerd.runtime.v2.task/*/*/address"))
	for _, file := range addresses {
		if address, err := os.ReadFile(file); err == nil {
			defer os.Remove(strings.TrimPrefix(strings.TrimSpace(string(address)), "unix://"))
		}
	}
	eventually(t, time.Minute, "every process of the engine is gone", func() bool {
		pids := e.processes(t)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // one that is gone by now was meant to go
		}
		if e.daemon != nil && len(pids) > 0 {
			_ = e.daemon.Wait()
			e.daemon = nil
		}
		return len(pids) == 0
	})
	if e.daemon != nil { // it had ended by itself
		_ = e.daemon.Wait()
		e.daemon = nil
	}
	run(t, nil, "", "ip", "netns", "del", e.name)
	run(t, nil, "", "sh", "-c", fmt.Sprintf(
		`cut -d' ' -f2 /proc/mounts | grep -E '^(%s|%s)(/|$)' | sort -r | xargs -r umount -l`, e.dir, e.data))
	for _, group := range e.cgroups() {
		eventually(t, time.Minute, group+" is gone", func() bool {
			return run(t, nil, "", "find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+").Code == 0
		})
	}
	if err := os.RemoveAll(e.dir); err != nil {
		t.Errorf("left behind: %v", err)
	}
}

// cgroups are the control groups of the engine's containers, one of every
// hierarchy.
func (e *Engine) cgroups() []string {
	var groups []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, _ := filepath.Glob(pattern + e.name)
		groups = append(groups, found...)
	}
	return groups
}

// processes are those in the engine's network, which the daemon and its helpers
// are, and those in its containers' control groups. This one, of which a thread
// may be there to dial, is none of them.
func (e *Engine) processes(t testing.TB) []int {
	t.Helper()
	lists := run(t, nil, "", "ip", "netns", "pids", e.name).Stdout
	for _, group := range e.cgroups() {
		lists += run(t, nil, "", "find", group, "-name", "cgroup.procs", "-exec", "cat", "{}", "+").Stdout
	}
	var pids []int
	for _, field := range strings.Fields(lists) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (e *Engine) remove(t testing.TB) {
	t.Helper()
	if t.Failed() {
		log, _ := os.ReadFile(e.log())
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		t.Logf("the engine's last words:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
	e.powerOff(t)
	if err := os.RemoveAll(e.data); err != nil {
		t.Errorf("left behind: %v", err)
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
