//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What people do with sandboxes all day, on one gateway.
func TestSandboxes(t *testing.T) {
	t.Parallel()
	g := started(t, "use")
	t.Run("isolation", func(t *testing.T) { testIsolation(t, g) })
	t.Run("preface", func(t *testing.T) { testPreface(t, g) })
	t.Run("TestPitfall28NoSecretOfASandboxWhereItDoesNotBelong", func(t *testing.T) { testSandboxSecrets(t, g) })
	t.Run("mistakes", func(t *testing.T) { testSandboxMistakes(t, g) })
	t.Run("images", func(t *testing.T) { testImages(t, g) })
	t.Run("transfers", func(t *testing.T) { testTransfers(t, g) })
	t.Run("public client", func(t *testing.T) { testPublicClient(t, g) })
	t.Run("not kept", func(t *testing.T) {
		r := g.CLI(t, "sandbox", "create", "--no-keep", "--", "sh", "-c", "exit 3").Exits(t, 3)
		t.Logf("created, run and deleted in %s", r.Took.Round(10*time.Millisecond))
		eventually(t, 30*time.Second, "nothing is left of it", func() bool { return g.left(t) == "" })
	})
	t.Run("twenty at once", func(t *testing.T) { testManyAtOnce(t, g, 20) })
	if left := g.left(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// testManyAtOnce creates n sandboxes at the same moment.
func testManyAtOnce(t *testing.T, g *Gateway, n int) {
	began := time.Now()
	var creating sync.WaitGroup
	results := make([]Result, n)
	for i := range n {
		creating.Go(func() {
			results[i] = g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", fmt.Sprintf("many-%02d", i), "--detach")
		})
	}
	creating.Wait()
	for _, r := range results {
		if r.Code != 0 {
			t.Error(r)
		}
	}
	t.Logf("%d sandboxes in %s, %s each", n, time.Since(began).Round(10*time.Millisecond), (time.Since(began) / time.Duration(n)).Round(time.Millisecond))
	for i := range n {
		(&Box{g, fmt.Sprintf("many-%02d", i)}).sh(t, "echo here >file")
	}
	g.CLI(t, "sandbox", "delete", "--all", "--yes").Exits(t, 0)
}

// testSandboxMistakes makes every mistake in turn; none leaves anything.
func testSandboxMistakes(t *testing.T, g *Gateway) {
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "Dockerfile"), []byte("FROM scratch\nCOPY missing /\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.sandbox(t, "taken")
	before := g.left(t)
	for _, tt := range []struct {
		name string
		says string
		args []string
	}{
		{"name", "name", []string{"--name", "Not_A_Name"}},
		{"name twice", "taken", []string{"--name", "taken"}},
		{"cpu", "cpu", []string{"--cpu", "1000"}},
		{"cpu that is no number", "cpu", []string{"--cpu", "many"}},
		{"memory", "memory", []string{"--memory", "100000g"}},
		{"memory that is none", "memory", []string{"--memory", "-1"}},
		{"environment", "env", []string{"--env", "1=2"}},
		{"image", "image", []string{"--from", "Not An Image"}},
		{"image that is nowhere", "localhost:1/no/such:image", []string{"--from", "localhost:1/no/such:image"}},
		{"Dockerfile that fails", "missing", []string{"--from", broken}},
		{"directory without a Dockerfile", "Dockerfile", []string{"--from", t.TempDir()}},
		{"upload of nothing", "no-such-file", []string{"--upload", "no-such-file"}},
		{"restart", "restart", []string{"--restart", "sometimes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"sandbox", "create", "--no-bootstrap"}, tt.args...)
			r := g.CLI(t, append(args, "--", "true")...)
			if r.Code == 0 {
				t.Errorf("accepted: %s", r)
			}
			r.Says(t, tt.says)
			if after := g.left(t); after != before {
				t.Errorf("left behind:\nbefore: %s\nafter: %s", before, after)
			}
		})
	}
	t.Run("a command that is not there", func(t *testing.T) {
		g.CLI(t, "sandbox", "create", "--no-keep", "--", "no-such-command").Exits(t, 127).Says(t, "no-such-command")
	})
	t.Run("a sandbox that is not there", func(t *testing.T) {
		for _, verb := range [][]string{{"get", "nobody"}, {"delete", "--yes", "nobody"}, {"stop", "nobody"}, {"start", "nobody"}, {"logs", "nobody"}, {"ssh-config", "nobody"}} {
			g.CLI(t, append([]string{"sandbox"}, verb...)...).Exits(t, 1).Says(t, "nobody")
		}
		g.CLI(t, "sandbox", "exec", "nobody", "--", "true").Exits(t, 125).Says(t, "nobody")
	})
}

// testImages runs sandboxes of images that were made on the host.
func testImages(t *testing.T, g *Gateway) {
	dir := t.TempDir()
	const ref = "openshell-e2e/sandbox:images"
	// The user root and the entrypoint of an image are not those of the sandbox.
	// The smallest image that is there.
	base := strings.Fields(docker(t, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "openshell/base"))
	if len(base) == 0 {
		t.Fatal("the node's base image is not there: build it with ./task image")
	}
	dockerfile := "FROM " + base[0] + "\nUSER 0\nENTRYPOINT [\"/bin/false\"]\nENV FROM_IMAGE=yes\nRUN echo built >/built\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run(t, nil, "", "docker", "image", "rm", ref+runID) })
	r := g.CLI(t, "sandbox", "create", "--name", "built", "--from", dir, "--", "sh", "-c", "cat /built; id -u; echo $FROM_IMAGE").Exits(t, 0)
	if r.Stdout != "built\n1000\nyes\n" {
		t.Errorf("stdout is %q", r.Stdout)
	}
	t.Logf("built, streamed and run in %s", r.Took.Round(10*time.Millisecond))
	image := g.CLI(t, "sandbox", "get", "built", "-o", "json").Exits(t, 0).Stdout
	again := g.CLI(t, "sandbox", "create", "--no-keep", "--from", dir, "--", "cat", "/built").Exits(t, 0)
	const sends = "import image"
	if r.Says(t, sends); strings.Contains(again.Stderr, sends) {
		t.Errorf("the image was there, and is sent again: %s", again)
	}
	t.Logf("again in %s", again.Took.Round(10*time.Millisecond))
	if list := g.CLI(t, "sandbox", "image", "ls").Exits(t, 0); !strings.Contains(list.Stdout, "built") {
		t.Errorf("no sandbox built among the users of images: %s\n%s", list, image)
	}
	g.CLI(t, "sandbox", "stop", "built").Exits(t, 0)
	g.CLI(t, "sandbox", "image", "prune", "--yes").Exits(t, 0)
	g.CLI(t, "sandbox", "start", "built").Exits(t, 0)
	b := &Box{g, "built"}
	b.sh(t, "cat /built")
	b.delete(t)
	g.CLI(t, "sandbox", "image", "prune", "--yes").Exits(t, 0)
	if list := g.CLI(t, "sandbox", "image", "ls", "-o", "json").Exits(t, 0); strings.TrimSpace(list.Stdout) != "[]" {
		t.Errorf("images are left: %s", list.Stdout)
	}
}

// testTransfers moves a gibibyte, which is larger than the memory of the sandbox,
// and interrupts that.
func testTransfers(t *testing.T, g *Gateway) {
	const size = 1 << 30
	b := g.sandbox(t, "transfers", "--memory", "128m")
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	sum := strings.Fields(run(t, nil, "", "sh", "-c", fmt.Sprintf("head -c %d /dev/urandom | tee %s | sha256sum", size, big)).Exits(t, 0).Stdout)[0]
	in := func(t *testing.T, path string) {
		t.Helper()
		if got := strings.Fields(b.sh(t, "sha256sum "+path))[0]; got != sum {
			t.Errorf("%s in the sandbox has another checksum", path)
		}
	}
	out := func(t *testing.T, path string) {
		t.Helper()
		if got := strings.Fields(run(t, nil, "", "sha256sum", path).Exits(t, 0).Stdout)[0]; got != sum {
			t.Errorf("%s on the host has another checksum", path)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
	rate := func(t *testing.T, r Result) { t.Logf("%.0f MB/s", size/1e6/r.Took.Seconds()) }
	t.Run("upload", func(t *testing.T) {
		rate(t, g.CLI(t, "sandbox", "upload", b.Name, big, "up").Exits(t, 0))
		in(t, "up")
	})
	t.Run("download", func(t *testing.T) {
		rate(t, g.CLI(t, "sandbox", "download", b.Name, "up", filepath.Join(dir, "down")).Exits(t, 0))
		out(t, filepath.Join(dir, "down"))
	})
	config, host := b.sshConfig(t)
	t.Run("scp", func(t *testing.T) {
		rate(t, g.run(t, "", "scp", "-q", "-F", config, big, host+":scp").Exits(t, 0))
		in(t, "scp")
		rate(t, g.run(t, "", "scp", "-q", "-F", config, host+":scp", filepath.Join(dir, "scp")).Exits(t, 0))
		out(t, filepath.Join(dir, "scp"))
	})
	t.Run("interrupted", func(t *testing.T) {
		// A part is there when the transfer is under way.
		const waitAndSignal = `set -m; "$2" sandbox "$3" "$4" "$5" "$6" & pid=$!
			until sh -c "$7"; do kill -0 $pid || exit 99; sleep 0.05; done
			kill -s "$1" $pid; wait $pid`
		here := "ls -A " + dir + " | grep -q '^.openshell-part'"
		there := fmt.Sprintf("%s sandbox exec %s -- sh -c 'ls -A | grep -q ^.openshell-part'", openshellBin, b.Name)
		for _, tt := range []struct {
			args []string
			part string
		}{
			{[]string{"upload", b.Name, big, "half"}, there},
			{[]string{"download", b.Name, "up", filepath.Join(dir, "half")}, here},
		} {
			interrupt := func(signal string) Result {
				args := append([]string{"-c", waitAndSignal, "bash", signal, openshellBin}, tt.args...)
				return g.run(t, "", "bash", append(args, tt.part)...)
			}
			interrupt("INT").Exits(t, 130)
			if r := g.run(t, "", "sh", "-c", tt.part); r.Code == 0 {
				t.Errorf("%s: a part of the file is left", tt.args[0])
			}
			interrupt("KILL").Exits(t, 137)
		}
		b.sh(t, "test ! -e half")
		if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
			t.Error("half a file stands under its name")
		}
	})
	t.Run("a directory", func(t *testing.T) {
		tree := filepath.Join(dir, "tree")
		script := `mkdir -p "$1/a b/c" && cd "$1" && echo x >"a b/c/x" && chmod 750 "a b/c/x" && ln -s c/x "a b/l" && : >empty`
		run(t, nil, "", "sh", "-euc", script, "sh", tree).Exits(t, 0)
		g.CLI(t, "sandbox", "upload", b.Name, tree, "tree").Exits(t, 0)
		g.CLI(t, "sandbox", "download", b.Name, "tree", filepath.Join(dir, "back")).Exits(t, 0)
		run(t, nil, "", "diff", "-r", "--no-dereference", tree, filepath.Join(dir, "back")).Exits(t, 0)
	})
	t.Run("into a new sandbox before its command", func(t *testing.T) {
		small := filepath.Join(dir, "small")
		if err := os.WriteFile(small, []byte("uploaded\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := g.CLI(t, "sandbox", "create", "--no-keep", "--upload", small+":given", "--", "cat", "given").Exits(t, 0)
		if r.Stdout != "uploaded\n" {
			t.Errorf("stdout is %q", r.Stdout)
		}
	})
	t.Run("binary through exec", func(t *testing.T) {
		data := make([]byte, 1<<20)
		if _, err := rand.Read(data); err != nil {
			t.Fatal(err)
		}
		r := g.run(t, string(data), openshellBin, "sandbox", "exec", "--stdin", b.Name, "--", "cat").Exits(t, 0)
		if !bytes.Equal([]byte(r.Stdout), data) {
			t.Errorf("%d bytes came back changed", len(data))
		}
	})
}

// testPublicClient uses the API as a client does that has nothing but the
// contract's field numbers.
func testPublicClient(t *testing.T, g *Gateway) {
	var created struct {
		Sandbox struct{ ID, Name string }
	}
	g.grpc(t, "CreateSandbox", `{"name": "public", "spec": {"environment": {"A": "b"}}}`).Exits(t, 0).JSON(t, &created)
	id := created.Sandbox.ID
	watched := g.grpc(t, "WatchSandbox", fmt.Sprintf(`{"id": %q, "follow_status": true, "stop_on_terminal": true}`, id), "-max-time", "60").Exits(t, 0)
	watched.Says(t, "SANDBOX_PHASE_READY")
	ran := g.grpc(t, "ExecSandbox", fmt.Sprintf(`{"sandbox_id": %q, "command": ["sh", "-c", "cat; echo $A $B; exit 5"], "environment": {"B": "c"}, "stdin": "aW4K"}`, id)).Exits(t, 0)
	ran.Says(t, `"exitCode": 5`, "aW4K", "YiBjCg==")
	g.grpc(t, "CreateSandbox", `{"name": "public"}`).Says(t, "AlreadyExists")
	g.grpc(t, "CreateSandbox", `{"name": "gpu", "spec": {"gpu": true}}`).Says(t, "gpu")
	g.grpc(t, "DeleteSandbox", `{"name": "public"}`).Exits(t, 0).Says(t, `"deleted": true`)
	eventually(t, 30*time.Second, "the sandbox is gone", func() bool {
		return strings.Contains(g.grpc(t, "GetSandbox", `{"name": "public"}`).Stderr, "NotFound")
	})
	// A command that waits for a client which never comes back is anybody's to start.
	g.grpc(t, "CreateSandbox", `{"name": "held", "spec": {"command": ["echo", "was held"], "hold": true}}`).Exits(t, 0)
	if r := g.CLI(t, "sandbox", "attach", "held").Exits(t, 0); r.Stdout != "was held\n" {
		t.Errorf("attach to a held command: %s", r)
	}
	(&Box{g, "held"}).delete(t)
	// The same for scripts.
	r := run(t, nil, "", "curl", "-fsS", "--cacert", g.Bundle("ca.crt"), "--cert", g.Bundle("tls.crt"), "--key", g.Bundle("tls.key"), g.Endpoint()+"/v1/sandboxes")
	r.Exits(t, 0).Says(t, "sandboxes")
}

// testSandboxSecrets looks for the master and a derived key everywhere that a
// user or a user's process can look.
func testSandboxSecrets(t *testing.T, g *Gateway) {
	const own = "a value of the user's own"
	b := g.sandbox(t, "secrets", "--env", "MINE="+own)
	id := b.info(t).ID
	master := g.HandshakeSecret(t)
	derived := b.kubectl(t, "get", "secret", id, "-o", `go-template={{index .data "handshake-key" | base64decode}}`)
	if len(derived) != 64 || derived == master {
		t.Fatalf("the derived key has %d characters", len(derived))
	}
	for place, text := range map[string]string{
		"pods":           b.kubectl(t, "get", "pods", "-o", "yaml"),
		"sandboxes":      b.kubectl(t, "get", "sandboxes.openshell.ai", "-o", "yaml"),
		"the other":      g.Kubectl(t, "get", "pods,statefulsets,configmaps", "--namespace", "openshell", "-o", "yaml"),
		"docker inspect": docker(t, "inspect", g.Resource()),
		"docker logs":    run(t, nil, "", "docker", "logs", g.Resource()).Stdout + run(t, nil, "", "docker", "logs", g.Resource()).Stderr,
		"process list":   g.Sh(t, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
		"pod logs":       b.kubectl(t, "logs", id),
		"server's log":   g.Kubectl(t, "logs", "--namespace", "openshell", "openshell-0"),
		"sandbox logs":   g.CLI(t, "sandbox", "logs", b.Name).Exits(t, 0).Stdout,
	} {
		for what, secret := range map[string]string{"the master secret": master, "the derived key": derived} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", what, place)
			}
		}
		if strings.Contains(text, own) {
			t.Errorf("the user's environment is in %s", place)
		}
	}
	if got := b.sh(t, "echo $MINE"); got != own {
		t.Errorf("the environment inside: %q", got)
	}
	for _, try := range []string{
		"cat /run/openshell/secret/*", "ls /run/openshell/state", "cat /proc/1/environ", "cat /proc/1/mem", "ls /proc/1/fd/", "kill -9 1",
		"kill -STOP 1", "echo 1 >/proc/1/oom_score_adj", "chroot /", "nsenter -t 1 -m true", "su -c true", "python3 -c 'import os; os.setuid(0)'",
		`python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).mount(b"none", b"/mnt", b"tmpfs", 0, None) != 0)'`,
		"python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
	} {
		if r := b.exec(t, "sh", "-c", try); r.Code == 0 || r.Code == 127 {
			t.Errorf("%s is not refused in the sandbox: %s", try, r)
		}
	}
	b.sh(t, "true") // it has survived all that
}
