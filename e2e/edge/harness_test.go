//go:build e2e

// Package edge plays the edge's scripts against the real nginx and OpenVPN, in
// containers of the node image whose only process is the test's.
package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = time.Minute

// programs are built once: the app-gateway of this tree, at dir, which boxes
// see, and what tests need beside it.
var programs struct {
	dir, image, root string

	building sync.Mutex
	built    map[string]bool
}

func TestMain(m *testing.M) {
	code, err := prepare(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/edge:", err)
		code = 1
	}
	os.Exit(code)
}

func prepare(m *testing.M) (int, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "openshell-edge-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	programs.dir, programs.root, programs.built = dir, root, map[string]bool{}
	if err := compile("app-gateway", "./cmd/app-gateway", ""); err != nil {
		return 0, err
	}
	// Any image with the node's Debian packages will do: the base is the first that is built.
	programs.image = os.Getenv("OPENSHELL_EDGE_IMAGE")
	if programs.image == "" {
		out, err := exec.Command("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "openshell/base").Output()
		if err != nil {
			return 0, fmt.Errorf("docker image ls: %w", err)
		}
		programs.image = strings.TrimSpace(strings.SplitN(string(out), "\n", 2)[0])
	}
	if programs.image == "" {
		return 0, errors.New("the node's base image is not there: build it with ./task image")
	}
	return m.Run(), nil
}

func compile(name, source, ldflags string) error {
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w "+ldflags, "-o", filepath.Join(programs.dir, name), source)
	build.Dir, build.Env = programs.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return nil
}

// program is the path of a program of testdata, built when it is first asked for.
func program(t *testing.T, name, source, ldflags string) string {
	t.Helper()
	programs.building.Lock()
	defer programs.building.Unlock()
	if !programs.built[name] {
		if err := compile(name, "./e2e/edge/testdata/"+source, ldflags); err != nil {
			t.Fatal(err)
		}
		programs.built[name] = true
	}
	return filepath.Join(programs.dir, name)
}

// box is a container with the scripts at /app, as openshell-node prepares it.
type box struct {
	t  *testing.T
	id string
}

// newBox starts a container. Its volume's place is a directory that ends with it.
func newBox(t *testing.T, flags ...string) *box {
	t.Helper()
	args := append([]string{"run", "--detach", "--init", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined",
		"--device", "/dev/net/tun", "--sysctl", "net.ipv4.ip_nonlocal_bind=1", "--tmpfs", "/run:exec", "--tmpfs", "/tmp:exec",
		"--label", "openshell.ai/test=edge",
		"--volume", filepath.Join(programs.root, "deploy/gateway/app") + ":/opt/openshell/release/app:ro",
		"--volume", programs.dir + ":/opt/openshell/release/bin:ro",
		"--env", "GATEWAY_HTTP_PORT=7100", "--env", "GATEWAY_VPN_PORT=49100", "--env", "ENV_NAME=dev-001", "--env", "GATEWAY_ID=test"}, flags...)
	args = append(args, "--entrypoint", "sleep", programs.image, "infinity")
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker run: %v: %s", err, out)
	}
	b := &box{t: t, id: strings.TrimSpace(string(out))}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "exec", b.id, "sh", "-c", "tail -n 50 /logs/*.log /run/openshell-edge/*.log /var/log/nginx/*.log 2>/dev/null").CombinedOutput()
			t.Logf("logs of the edge:\n%s", out)
		}
		exec.Command("docker", "rm", "--force", "--volumes", b.id).Run()
	})
	b.sh(`state=/var/lib/openshell/current/edge
mkdir -p "$state/gateway/releases" "$state/vpn" "$state/logs" /run/openshell-edge
chmod 0700 "$state"
chmod 0711 /run/openshell-edge
ln -s "$state/gateway" /opt/gateway
ln -s /opt/openshell/release /opt/gateway/current
ln -s current/app /opt/gateway/app
ln -s /opt/gateway/app /app
ln -s "$state/logs" /logs`)
	return b
}

// result is how a command in a box ended.
type result struct {
	stdout, stderr string
	code           int
}

// try runs a command in the box, with stdin.
func (b *box) try(stdin string, argv ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"exec", "--interactive", b.id}, argv...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		b.t.Fatalf("docker exec %q: %v: %s", argv, errors.Join(err, ctx.Err()), stderr.String())
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// sh runs a script that must succeed and returns its output.
func (b *box) sh(script string) string {
	b.t.Helper()
	r := b.try("", "bash", "-euo", "pipefail", "-c", script)
	if r.code != 0 {
		b.t.Fatalf("script ended with %d:\n%s\n%s%s", r.code, script, r.stdout, r.stderr)
	}
	return r.stdout
}

// answer is what every script says: exactly one JSON object.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	doc    map[string]any
}

// script runs main.sh -r NAME and checks what holds for every script.
func (b *box) script(name, stdin string) answer {
	b.t.Helper()
	return b.answerOf(b.try(stdin, "/app/main.sh", "-r", name))
}

// answerOf checks an answer: one object, whose status agrees with the exit code.
func (b *box) answerOf(r result) answer {
	b.t.Helper()
	var a answer
	dec := json.NewDecoder(strings.NewReader(r.stdout))
	if err := dec.Decode(&a); err != nil {
		b.t.Fatalf("stdout is no JSON object: %v: %q; stderr: %s", err, r.stdout, r.stderr)
	}
	if err := json.Unmarshal([]byte(r.stdout), &a.doc); err != nil {
		b.t.Fatalf("stdout is more than one JSON object: %q", r.stdout)
	}
	switch {
	case a.Status == "ok" && r.code == 0 && a.Error == "":
	case a.Status == "error" && r.code != 0 && a.Error != "":
	default:
		b.t.Fatalf("status %q, error %q and exit code %d do not agree", a.Status, a.Error, r.code)
	}
	return a
}

// eventually polls until ok or the limit, less often the longer it has waited:
// a command in a box costs others the processor.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	const often, seldom = 50 * time.Millisecond, 500 * time.Millisecond
	began := time.Now()
	for !ok() {
		waited := time.Since(began)
		if waited > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(min(max(often, waited/5), seldom))
	}
}
