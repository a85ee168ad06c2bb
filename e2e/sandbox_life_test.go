//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/nodeapi"
)

// On a machine where nothing runs, a sandbox is one command away, and lives
// through everything that can happen to its gateway.
func TestPitfall26SandboxesSurvive(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	g := e.newGateway(t, "boxes")
	create := func(t *testing.T, args ...string) Result {
		t.Helper()
		return g.CLI(t, append([]string{"sandbox", "create"}, args...)...)
	}
	if !t.Run("the first sandbox starts a gateway", func(t *testing.T) {
		r := create(t, "--no-bootstrap", "--", "echo", "hi")
		if r.Code != 125 || r.Stdout != "" {
			t.Fatalf("--no-bootstrap did not refuse: %s", r)
		}
		r.Says(t, "gateway start")
		if left := g.remains(t); len(left) > 0 {
			t.Fatalf("--no-bootstrap made %v", left)
		}
		r = create(t, "--", "echo", "hi").Exits(t, 0)
		if r.Stdout != "hi\n" {
			t.Errorf("stdout is %q", r.Stdout)
		}
		t.Logf("from nothing to hi in %s", r.Took.Round(10*time.Millisecond))
		g.Running(t)
	}) {
		t.FailNow()
	}
	t.Run("the exit code is the command's", func(t *testing.T) {
		r := create(t, "--name", "seven", "--", "sh", "-c", "exit 7").Exits(t, 7)
		t.Logf("on a running gateway in %s", r.Took.Round(10*time.Millisecond))
	})

	kept := &Box{g, "kept"}
	create(t, "--name", "kept", "--detach", "--env", "GREETING=hello world", "--", "sh", "-c", "echo run >>runs; exec sleep infinity").Exits(t, 0)
	done := &Box{g, "done"}
	create(t, "--name", "done", "--", "sh", "-c", "echo once >>count").Exits(t, 0)
	once := &Box{g, "interrupted"}
	create(t, "--name", "interrupted", "--detach", "--restart=no", "--", "sh", "-c", "echo once >>count; exec sleep infinity").Exits(t, 0)
	asleep := &Box{g, "asleep"}
	create(t, "--name", "asleep", "--detach").Exits(t, 0)
	g.CLI(t, "sandbox", "stop", "asleep").Exits(t, 0)
	kept.sh(t, `head -c 100000 /dev/urandom >noise; mkdir -p deep/er; ln -s ../noise deep/link; chmod 600 noise`)
	before := lookAt(t, kept)
	sshConfig, host := kept.sshConfig(t)
	session := newSession(t, kept)
	runs := 1

	for _, loss := range []struct {
		name    string
		happens func(t *testing.T)
	}{
		{"gateway stop", func(t *testing.T) { g.CLI(t, "gateway", "stop").Exits(t, 0) }},
		{"container removed", func(t *testing.T) { g.docker(t, "rm", "--force", g.Resource()) }},
		{"engine restarted", func(t *testing.T) { e.Stop(t); e.Start(t) }},
		{"server restarted", func(t *testing.T) {
			g.Kubectl(t, "delete", "pod", "--namespace", "openshell", "openshell-0", "--grace-period=0", "--force")
			runs-- // the sandboxes run on
		}},
	} {
		if !t.Run(loss.name, func(t *testing.T) {
			loss.happens(t)
			r := g.Start(t)
			t.Logf("%s: %s", r.Took.Round(time.Millisecond), strings.TrimSpace(r.Stdout))
			runs++
			eventually(t, time.Minute, "the sandboxes are back", func() bool {
				return kept.info(t).Status == "ready" && done.info(t).Status == "ready" && once.info(t).Status == "ready"
			})
			if diff := cmp.Diff(before, lookAt(t, kept)); diff != "" {
				t.Errorf("not as it was (-before +after):\n%s", diff)
			}
			if got := strings.Count(kept.sh(t, "cat runs"), "run"); got != runs {
				t.Errorf("the long-running command was started %d times, not %d", got, runs)
			}
			if c := kept.info(t).Command; c == nil || c.State != "running" {
				t.Errorf("the long-running command: %+v", c)
			}
			if got := done.sh(t, "cat count"); got != "once" {
				t.Errorf("a command that had finished ran again: %q", got)
			}
			if c := done.info(t).Command; c == nil || c.State != "exited" || c.ExitCode != 0 {
				t.Errorf("the finished command: %+v", c)
			}
			if got := once.sh(t, "cat count"); got != "once" {
				t.Errorf("a command with --restart=no ran again: %q", got)
			}
			if status := asleep.info(t).Status; status != "stopped" {
				t.Errorf("the stopped sandbox is %s", status)
			}
			testOpenSSH(t, kept, sshConfig, host)
			session.answers(t)
		}) {
			t.FailNow() // the next loss would only fail because of this one
		}
	}
	t.Run("a revoked token is refused", func(t *testing.T) { session.revoke(t) })
	t.Run("start after stop", func(t *testing.T) {
		g.CLI(t, "sandbox", "start", "asleep").Exits(t, 0)
		asleep.sh(t, "true")
	})
	t.Run("a stopped gateway is resumed", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		if r := create(t, "--", "echo", "hi").Exits(t, 0); r.Stdout != "hi\n" {
			t.Errorf("stdout is %q", r.Stdout)
		}
		eventually(t, time.Minute, "the other sandboxes are back", func() bool { return kept.info(t).Status == "ready" })
		if diff := cmp.Diff(before, lookAt(t, kept)); diff != "" {
			t.Errorf("not as it was (-before +after):\n%s", diff)
		}
	})
	t.Run("a taken port sets nothing aside", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		holder := e.run(t, nil, "", "docker", "run", "--detach", "--rm", "--publish", fmt.Sprintf("127.0.0.1:%d:1", g.Port),
			"--entrypoint", "sleep", nodeImage(t), "infinity").Exits(t, 0)
		r := create(t, "--", "echo", "hi")
		if r.Code != 125 || r.Stdout != "" {
			t.Errorf("a taken port did not stop it: %s", r)
		}
		r.Says(t, "port "+strconv.Itoa(g.Port))
		e.Docker(t, "rm", "--force", strings.TrimSpace(holder.Stdout))
		g.Start(t)
		if status := g.Running(t); len(status.Volume.Asides) > 0 {
			t.Errorf("set aside: %v", status.Volume.Asides)
		}
		eventually(t, time.Minute, "the sandbox is back", func() bool { return kept.info(t).Status == "ready" })
		if diff := cmp.Diff(before, lookAt(t, kept)); diff != "" {
			t.Errorf("not as it was (-before +after):\n%s", diff)
		}
	})
	t.Run("a state that cannot be read is set aside, once", func(t *testing.T) { testSetAside(t, g, kept, before) })
	t.Run("a new one of the same name is empty", func(t *testing.T) {
		kept.delete(t)
		create(t, "--name", "kept", "--", "sh", "-c", "ls -A | grep -v '^\\.' | wc -l").Exits(t, 0)
		if now := lookAt(t, kept); now.ID == before.ID || now.Fingerprint == before.Fingerprint || len(now.Files) > 0 {
			t.Errorf("it is not another one: %+v", now)
		}
	})
}

// Looks is what must stay as it is in a sandbox.
type Looks struct {
	ID, Fingerprint, Environment string
	Files                        []string
}

func lookAt(t testing.TB, b *Box) Looks {
	t.Helper()
	info := b.info(t)
	return Looks{
		ID: info.ID, Fingerprint: info.Fingerprint,
		Environment: b.sh(t, "echo ${GREETING-}"),
		Files: strings.Fields(b.sh(t, `find . -type f -not -name runs -not -path './.*' -exec sha256sum {} + | sort
			find . -not -type f -not -path './.*' -printf '%y%p%l%m\n' | grep -v '^d\.7' | sort || true`)),
	}
}

// testOpenSSH works in the sandbox with the tools that everybody has.
func testOpenSSH(t *testing.T, b *Box, config, host string) {
	t.Helper()
	tool := func(stdin, name string, args ...string) string {
		t.Helper()
		return b.g.run(t, stdin, name, args...).Exits(t, 0).Stdout
	}
	if got := tool("", "ssh", "-F", config, host, "echo over ssh; id -un"); got != "over ssh\nsandbox\n" {
		t.Errorf("ssh: %q", got)
	}
	if r := b.g.run(t, "", "ssh", "-F", config, host, "exit 9"); r.Code != 9 {
		t.Errorf("ssh passes another exit code: %s", r)
	}
	if got := tool("", "ssh", "-tt", "-F", config, host, "tty"); !strings.HasPrefix(got, "/dev/pts/") {
		t.Errorf("ssh -tt: %q", got)
	}
	// A shell at a terminal.
	if r := b.g.run(t, "echo in $PWD\nexit 8\n", "script", "-qec", openshellBin+" sandbox connect "+b.Name, "/dev/null"); r.Code != 8 || !strings.Contains(r.Stdout, "in /sandbox") {
		t.Errorf("connect: %s", r)
	}
	dir := t.TempDir()
	local := filepath.Join(dir, "local")
	if err := os.WriteFile(local, []byte("a file\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	back := func(name string) {
		t.Helper()
		if content, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(content) != "a file\n" {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	tool("", "scp", "-F", config, local, host+":/tmp/by-scp")
	tool("", "scp", "-F", config, host+":/tmp/by-scp", filepath.Join(dir, "scp"))
	back("scp")
	tool(fmt.Sprintf("put %s /tmp/by-sftp\nget /tmp/by-sftp %s\n", local, filepath.Join(dir, "sftp")), "sftp", "-b", "-", "-F", config, host)
	back("sftp")
	tool("", "rsync", "-a", "-e", "ssh -F "+config, local, host+":/tmp/by-rsync")
	tool("", "rsync", "-a", "-e", "ssh -F "+config, host+":/tmp/by-rsync", filepath.Join(dir, "rsync"))
	back("rsync")

	// It ends at once where the one of the last time still runs.
	b.sh(t, `cd /tmp && setsid python3 -m http.server 8000 >/dev/null 2>&1 </dev/null &`)
	port := "18000"
	script := fmt.Sprintf(`ssh -F %s -N -o ExitOnForwardFailure=yes -L %s:127.0.0.1:8000 %s & trap 'kill $!' EXIT
		for _ in $(seq 100); do if curl -fsS http://127.0.0.1:%s/by-scp 2>/dev/null; then exit; fi; sleep 0.1; done; exit 1`, config, port, host, port)
	if got := tool("", "bash", "-c", script); got != "a file\n" {
		t.Errorf("a forwarded port: %q", got)
	}
	tool("", openshellBin, "forward", "start", b.Name, "18001:8000")
	if got := tool("", "curl", "-fsS", "--retry", "5", "--retry-connrefused", "http://127.0.0.1:18001/by-scp"); got != "a file\n" {
		t.Errorf("openshell forward: %q", got)
	}
	tool("", openshellBin, "forward", "stop", b.Name, "18001")
}

// testSetAside damages the state so that the node cannot read it.
func testSetAside(t *testing.T, g *Gateway, kept *Box, before Looks) {
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	g.docker(t, "run", "--rm", "--network", "none", "--volume", g.Resource()+":"+nodeapi.VolumeRoot, "--entrypoint", "sh", nodeImage(t), "-euc",
		`cd `+nodeapi.Current+`/etcd; for f in $(find . -type f -name db -o -type f -name '*.wal'); do cp -a $f $f.good; head -c 65536 /dev/urandom >$f; done`)
	r := g.CLI(t, "sandbox", "create", "--name", "fresh", "--", "echo", "hi").Exits(t, 0)
	if r.Stdout != "hi\n" {
		t.Errorf("stdout is %q", r.Stdout)
	}
	r.Says(t, "gateway restore")
	asides := g.Running(t).Volume.Asides
	if len(asides) != 1 || !strings.Contains(r.Stderr, asides[0].Name) {
		t.Fatalf("set aside: %v\n%s", asides, r)
	}
	if list := g.CLI(t, "sandbox", "list", "-o", "json").Exits(t, 0).Stdout; strings.Contains(list, before.ID) {
		t.Errorf("the fresh gateway has the old sandboxes: %s", list)
	}
	g.CLI(t, "gateway", "restore", asides[0].Name).Exits(t, 0)
	g.docker(t, "run", "--rm", "--network", "none", "--volume", g.Resource()+":"+nodeapi.VolumeRoot, "--entrypoint", "sh", nodeImage(t), "-euc",
		`cd `+nodeapi.Current+`/etcd; for f in $(find . -type f -name '*.good'); do mv $f ${f%.good}; done`)
	g.Start(t)
	eventually(t, time.Minute, "the sandbox is back", func() bool { return kept.info(t).Status == "ready" })
	if diff := cmp.Diff(before, lookAt(t, kept)); diff != "" {
		t.Errorf("not as it was (-before +after):\n%s", diff)
	}
}
