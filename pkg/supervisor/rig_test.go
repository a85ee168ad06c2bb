//go:build linux

package supervisor_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// binary is the real program, built once.
var binary string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == probeName {
		os.Exit(probe(os.Args[1:]))
	}
	if len(os.Args) == 2 && os.Args[0] == initName {
		if err := becomeSandbox(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "sandbox of a test:", err)
			os.Exit(3)
		}
	}
	dir, err := os.MkdirTemp("", "supervisor")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		binary = filepath.Join(dir, "openshell-sandbox")
		build := exec.Command("go", "build", "-o", binary, "openshell.ai/openshell/cmd/openshell-sandbox")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// rig is a sandbox whose claim outlives its container.
type rig struct {
	t         *testing.T
	dir       string // workspace, state and secret are in it
	key       handshake.Key
	hostKey   ssh.PublicKey
	Command   *sandboxapi.Command
	Env       []string // of the image
	Passwd    string   // of the image
	NoShell   bool     // an image of nothing but one program
	SmallDisk bool     // of 64 KiB, for the state; it is new at every start

	process *exec.Cmd
	ended   chan struct{}
	address string

	mu  sync.Mutex
	log strings.Builder
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests make namespaces and change users: run them as root")
	}
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, Passwd: "root:x:0:0:root:/root:/bin/bash\n", key: handshake.Derive(handshake.Key(strings.Repeat("ab", 32)), t.Name())}
	for _, d := range []string{"root", "workspace", "state", "secret"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if r.hostKey, err = ssh.NewPublicKey(public); err != nil {
		t.Fatal(err)
	}
	r.secret(sandboxapi.SecretHostKey, string(pem.EncodeToMemory(block)))
	r.secret(sandboxapi.SecretHandshake, string(r.key))
	r.secret(sandboxapi.SecretEnviron, `{"GREETING":"hello","TOKEN":"t0ken"}`)
	return r
}

func (r *rig) secret(name, value string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "secret", name)
	os.Remove(path)
	if err := os.WriteFile(path, []byte(value), 0o400); err != nil {
		r.t.Fatal(err)
	}
}

// path is that of a file on the claim: "workspace/…" or "state/…".
func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// start runs the supervisor as PID 1 and waits until it listens.
func (r *rig) start() *rig {
	r.t.Helper()
	environ := append([]string{
		sandboxapi.EnvID + "=" + "abc123", sandboxapi.EnvName + "=dev", sandboxapi.EnvEndpoint + "=https://gateway.example",
		sandboxapi.EnvListen + "=127.0.0.1:0", sandboxapi.EnvLogLevel + "=debug",
		"KUBERNETES_SERVICE_HOST=10.0.0.1", "HOSTNAME=abc123",
	}, r.Env...)
	if r.Command != nil {
		c, err := json.Marshal(r.Command)
		if err != nil {
			r.t.Fatal(err)
		}
		environ = append(environ, sandboxapi.EnvCommand+"="+string(c))
	}
	setup, err := json.Marshal(setup{Dir: r.dir, Binary: binary, Environ: environ, Passwd: r.Passwd, NoShell: r.NoShell, SmallDisk: r.SmallDisk})
	if err != nil {
		r.t.Fatal(err)
	}
	r.process = exec.Command("/proc/self/exe", string(setup))
	r.process.Args[0] = initName
	r.process.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	stderr, err := r.process.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.ended = make(chan struct{})
	listening := make(chan string, 1)
	process, ended := r.process, r.ended
	go r.follow(stderr, listening, process, ended)
	r.t.Cleanup(func() {
		process.Process.Kill()
		<-ended
		if r.t.Failed() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Log("supervisor:\n" + r.log.String())
			r.log.Reset()
		}
	})
	select {
	case r.address = <-listening:
	case <-ended:
		r.t.Fatal("the supervisor ended at once")
	case <-time.After(20 * time.Second):
		r.t.Fatal("the supervisor does not listen")
	}
	return r
}

var upLine = regexp.MustCompile(`msg="sandbox is up".* listen=(\S+)`)

func (r *rig) follow(stderr io.Reader, listening chan<- string, process *exec.Cmd, ended chan struct{}) {
	defer close(ended)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		r.mu.Lock()
		r.log.WriteString(lines.Text() + "\n")
		r.mu.Unlock()
		if m := upLine.FindStringSubmatch(lines.Text()); m != nil {
			listening <- m[1]
		}
	}
	process.Wait()
}

// probe puts this test program into the workspace, and returns the command that
// runs it with a verb of probe.
func (r *rig) probe(args ...string) []string {
	r.t.Helper()
	path := r.path("workspace/" + probeName)
	if _, err := os.Stat(path); err != nil {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, self, 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	return append([]string{sandboxapi.Workspace + "/" + probeName}, args...)
}

// raw is a connection of SSH without our client.
func (r *rig) raw() *ssh.Client {
	r.t.Helper()
	conn := r.dial()
	if err := handshake.Offer(conn, r.key, "token", time.Now().Add(10*time.Second)); err != nil {
		r.t.Fatal(err)
	}
	c, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{User: sandboxapi.User, HostKeyCallback: ssh.FixedHostKey(r.hostKey)})
	if err != nil {
		r.t.Fatal(err)
	}
	client := ssh.NewClient(c, channels, requests)
	r.t.Cleanup(func() { client.Close() })
	return client
}

// pipe is a stdin that stays open for the time of the test.
func (r *rig) pipe() (*os.File, *os.File) {
	r.t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}

// eventually waits until a condition holds.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("still not: %s", what)
		}
	}
}

// has says whether a file of the workspace exists.
func (r *rig) has(name string) func() bool {
	return func() bool {
		_, err := os.Stat(r.path("workspace/" + name))
		return err == nil
	}
}

// stop is what the kubelet does; it returns the exit code.
func (r *rig) stop() int {
	r.t.Helper()
	if err := r.process.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		r.t.Fatal("the supervisor does not stop")
	}
	return r.process.ProcessState.ExitCode()
}

// kill is what a power cut does to processes.
func (r *rig) kill() {
	r.process.Process.Kill()
	<-r.ended
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

func (r *rig) connect() *sandboxssh.Client {
	r.t.Helper()
	conn := r.dial()
	if err := handshake.Offer(conn, r.key, "token", time.Now().Add(10*time.Second)); err != nil {
		r.t.Fatal(err)
	}
	c, err := sandboxssh.Connect(r.t.Context(), conn, r.hostKey)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

type result struct {
	Code           int
	Stdout, Stderr string
}

// sh runs a script by exec@openshell.ai on a connection of its own.
func (r *rig) sh(script string) result {
	r.t.Helper()
	return r.exec(r.t, sandboxapi.Exec{Argv: []string{"sh", "-c", script}}, "")
}

func (r *rig) exec(t *testing.T, e sandboxapi.Exec, stdin string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := r.connect()
	defer c.Close()
	var out, errs strings.Builder
	code, err := c.Exec(ctx, e, sandboxssh.Streams{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatalf("exec %.100q: %v", e.Argv, err)
	}
	return result{code, out.String(), errs.String()}
}

// status waits until the command is in a state.
func (r *rig) status(state sandboxapi.CommandState) sandboxapi.CommandStatus {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	c := r.connect()
	defer c.Close()
	var found *sandboxapi.CommandStatus
	var last sandboxapi.Status
	c.Status(ctx, func(s sandboxapi.Status) {
		last = s
		if s.Command != nil && s.Command.State == state {
			found = s.Command
			cancel()
		}
	})
	if found == nil {
		r.t.Fatalf("the command does not become %q: %+v", state, last.Command)
	}
	return *found
}

// attach returns what a client sees of the command.
func (r *rig) attach(a sandboxapi.Attach, stdin io.Reader) (result, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	c := r.connect()
	defer c.Close()
	var out, errs strings.Builder
	code, err := c.Attach(ctx, a, sandboxssh.Streams{Stdin: stdin, Stdout: &out, Stderr: &errs})
	return result{code, out.String(), errs.String()}, err
}
