//go:build e2e || soak

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"openshell.ai/openshell/e2e/dockerproxy"
	"openshell.ai/openshell/pkg/nodeapi"
)

// crashMode is what happens at a point.
type crashMode string

const (
	failed crashMode = "fails"       // the effect is not had
	lost   crashMode = "answer lost" // it is had, and openshell is not told
	killed crashMode = "killed"      // it is had, and openshell is killed
	cut    crashMode = "killed before"
)

// modes are those of a point. A file is whole on the disk before its rename, so
// that being killed there is a case of its own.
func modes(point string) []crashMode {
	if strings.HasPrefix(point, "host ") {
		return []crashMode{failed, lost, killed, cut}
	}
	return []crashMode{failed, lost, killed}
}

// crashRig runs the command line so that every effect it has outside its process
// passes by: Docker calls, Kubernetes writes, changes to host files, and calls of
// the gateway API.
type crashRig struct {
	g     *Gateway
	bin   string
	proxy *dockerproxy.Proxy
	elbow net.Listener

	mu   sync.Mutex
	run  *crashRun // the present one
	ends sync.WaitGroup
}

// crashRun is one command.
type crashRun struct {
	at    string    // the point where something happens; empty: nowhere
	mode  crashMode // what
	kill  func()
	met   []string // points so far
	count map[string]int
	hit   bool
}

// newCrashRig builds the command line that asks before its effects, and puts a
// proxy before the engine.
func newCrashRig(t *testing.T, g *Gateway) *crashRig {
	t.Helper()
	dir, err := os.MkdirTemp("", "crash") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &crashRig{g: g, bin: filepath.Join(dir, "openshell"), run: &crashRun{}}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var build struct{ Version string }
	run(t, nil, "", openshellBin, "version", "-o", "json").Exits(t, 0).JSON(t, &build)
	run(t, []string{"CGO_ENABLED=0"}, "", "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X openshell.ai/openshell/pkg/version.Version="+build.Version, "-o", r.bin, "./faulty").Exits(t, 0)

	engine := docker(t, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		engine = host
	}
	r.proxy, err = dockerproxy.Start(dockerproxy.Options{
		Engine: strings.TrimPrefix(engine, "unix://"), Socket: filepath.Join(dir, "docker.sock"), Hook: r.dockerCall, Rename: r.rename,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	if r.elbow, err = net.Listen("unix", filepath.Join(dir, "elbow.sock")); err != nil {
		t.Fatal(err)
	}
	r.ends.Go(r.serveElbow)
	t.Cleanup(func() {
		r.elbow.Close()
		r.ends.Wait()
	})
	return r
}

// What differs between two runs, in the names of points.
var (
	anAside     = regexp.MustCompile(regexp.QuoteMeta(nodeapi.AsidePrefix) + `\d{8}T\d{6}Z`)
	aKnownHost  = regexp.MustCompile(`ssh/[a-z0-9-]+\.known_hosts`)
	anAsk       = regexp.MustCompile(`^POST .*: ` + regexp.QuoteMeta(nodeapi.Binary) + ` (` + nodeapi.CmdStatus + `|` + nodeapi.CmdWatch + `|` + nodeapi.CmdDial + `)\b`)
	sandboxName = "crash"
)

func (r *crashRig) rename(effect string) string {
	effect = strings.ReplaceAll(effect, r.g.Resource(), "GATEWAY")
	effect = strings.ReplaceAll(effect, "openshell-helper-"+string(r.g.Name), "HELPER")
	effect = strings.ReplaceAll(effect, string(r.g.Name), "GATEWAY")
	effect = anAside.ReplaceAllString(effect, "ASIDE")
	return aKnownHost.ReplaceAllString(effect, "ssh/ID.known_hosts")
}

// meet notes an effect and says what happens to it.
func (r *crashRig) meet(effect string) (mode crashMode, kill func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.run
	point := effect
	c.count[effect]++
	switch n := c.count[effect]; {
	case n > 1 && anAsk.MatchString(effect):
		return "", nil // it only asks again
	case n > 1:
		point = fmt.Sprintf("%s #%d", effect, n)
	}
	if !c.hit { // what comes afterwards depends on it
		c.met = append(c.met, point)
	}
	if c.at != point {
		return "", nil
	}
	c.hit = true
	return c.mode, c.kill
}

func (r *crashRig) dockerCall(c dockerproxy.Call) dockerproxy.Verdict {
	if !c.Effect {
		return dockerproxy.Verdict{}
	}
	switch mode, kill := r.meet(c.Name); mode {
	case failed:
		return dockerproxy.Verdict{Outcome: dockerproxy.Fail}
	case lost:
		return dockerproxy.Verdict{Outcome: dockerproxy.Lose}
	case killed:
		return dockerproxy.Verdict{Outcome: dockerproxy.Lose, Then: kill}
	}
	return dockerproxy.Verdict{}
}

func (r *crashRig) serveElbow() {
	words := map[crashMode]string{"": "pass", failed: "fail", lost: "lose", killed: "kill", cut: "cut"}
	for {
		conn, err := r.elbow.Accept()
		if err != nil {
			return
		}
		r.ends.Go(func() {
			defer conn.Close()
			effect, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				return
			}
			mode, _ := r.meet(r.rename(strings.TrimSpace(effect)))
			fmt.Fprintln(conn, words[mode])
		})
	}
}

// play runs openshell and has something happen at a point, which must be met;
// without a point it records.
func (r *crashRig) play(t *testing.T, at string, mode crashMode, args ...string) (Result, []string) {
	t.Helper()
	cmd := exec.Command(r.bin, args...)
	cmd.Env = append(append(os.Environ(), r.g.Env()...), "DOCKER_HOST="+r.proxy.Host(), "OPENSHELL_ELBOW="+r.elbow.Addr().String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	gone := make(chan struct{})
	c := &crashRun{at: at, mode: mode, count: map[string]int{}, kill: func() {
		_ = cmd.Process.Kill() // if it has ended, the test sees that
		<-gone
	}}
	r.mu.Lock()
	r.run = c
	began := time.Now()
	if err := cmd.Start(); err != nil {
		r.mu.Unlock()
		t.Fatal(err)
	}
	r.mu.Unlock()
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	err := cmd.Wait()
	close(gone)
	if !stuck.Stop() {
		t.Errorf("openshell %s did not end within %s", strings.Join(args, " "), patience)
	}
	result := Result{
		Args: append([]string{"openshell"}, args...), Stdout: stdout.String(), Stderr: stderr.String(),
		Code: cmd.ProcessState.ExitCode(), Took: time.Since(began),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at != "" && !c.hit {
		t.Fatalf("it ended (%v) without %s; its points were\n%s\n%s", err, at, strings.Join(c.met, "\n"), result)
	}
	if kills := mode == killed || mode == cut; kills != (result.Code == -1) {
		t.Errorf("%s: %v\n%s", mode, err, result)
	}
	return result, c.met
}

// foreseen ends the test unless an openshell that did not succeed said what a
// user can act on.
func foreseen(t *testing.T, r Result) {
	t.Helper()
	if r.Code <= 0 {
		return // it got over it, or had no time to say anything
	}
	if !slices.Contains([]int{1, 3, 4, 5, 6, 7, 125}, r.Code) || strings.Contains(r.Stderr, "unforeseen") || strings.Contains(r.Stderr, "does not foresee") {
		t.Errorf("it does not say what went wrong: %s", r)
	}
}

// orphans is what must not be there beside a gateway that is healthy.
func (r *crashRig) orphans(t *testing.T, want ...string) {
	t.Helper()
	got := r.g.remains(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Docker has %v of the gateway, not %v", got, want)
	}
	for name := range r.g.configFiles(t) {
		if strings.HasPrefix(filepath.Base(name), ".") {
			t.Errorf("left behind: %s", name)
		}
	}
}

// whole are the resources of a gateway.
func (g *Gateway) whole() []string {
	return []string{"container " + g.Resource(), "volume " + g.Resource(), "network " + g.Resource()}
}

// configFiles lists the configuration directory, with the kinds of what is in it.
func (g *Gateway) configFiles(t *testing.T) map[string]os.FileMode {
	t.Helper()
	files := map[string]os.FileMode{}
	err := filepath.Walk(g.Config, func(path string, info os.FileInfo, err error) error {
		if err == nil && path != g.Config {
			name, _ := filepath.Rel(g.Config, path)
			files[name] = info.Mode().Type()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// execs are the commands of openshell's that run in the node.
func (g *Gateway) execs(t *testing.T) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(docker(t, "top", g.Resource(), "-eo", "pid,args")) {
		for _, command := range []string{nodeapi.CmdDial, nodeapi.CmdWatch, nodeapi.CmdStatus, nodeapi.CmdVolume} {
			if strings.Contains(line, nodeapi.Binary+" "+command) {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}

// decodeEach decodes the items of a list that kubectl printed.
func decodeEach[T any](t *testing.T, list string) []T {
	t.Helper()
	var items struct{ Items []T }
	if err := json.Unmarshal([]byte(list), &items); err != nil {
		t.Fatal(err)
	}
	return items.Items
}
