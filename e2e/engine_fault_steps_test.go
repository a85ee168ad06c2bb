//go:build e2e || soak

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/e2e/dockerproxy"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
)

// moment is a point in what a command does, told by what it reports.
type moment struct {
	name string
	at   func(bootstrap.Event) bool
}

// milestone is when the start is told that the node has reached one.
func milestone(name nodeapi.Milestone) moment {
	return moment{"milestone " + string(name), func(e bootstrap.Event) bool {
		return e.Step == string(bootstrap.AwaitHealthy) && e.Kind == bootstrap.StepProgress && strings.HasPrefix(e.Message, string(name)+" ")
	}}
}

// during runs openshell beside the gateway's engine and acts when the moment
// comes, which it has to.
func (g *Gateway) during(t testing.TB, m moment, act func(), args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", g.engine.inside(openshellBin, append(args, "-o", "json")...)...)
	cmd.Env = append(append(os.Environ(), g.Env()...), g.engine.env()...)
	var stdout, said bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	came := false
	lines := bufio.NewScanner(io.TeeReader(stderr, &said))
	for lines.Scan() {
		var event bootstrap.Event
		if !came && json.Unmarshal(lines.Bytes(), &event) == nil && m.at(event) {
			came = true
			act()
		}
	}
	_ = cmd.Wait() // the exit code says how it ended
	r := Result{
		Args: cmd.Args[3:], Stdout: stdout.String(), Stderr: said.String(),
		Code: cmd.ProcessState.ExitCode(), Took: time.Since(began),
	}
	if !came {
		t.Fatalf("%s: it ended before\n%s", m.name, r)
	}
	return r
}

// through has clients reach the engine through a proxy, until the test ends.
func (e *Engine) through(t *testing.T, o dockerproxy.Options) {
	t.Helper()
	o.Engine, o.Socket = e.Socket(), filepath.Join(e.dir, "proxy.sock")
	p, err := dockerproxy.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	e.via = o.Socket
	t.Cleanup(func() {
		e.via = ""
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// allWell ends the test unless the gateway is running and no check fails.
func (g *Gateway) allWell(t testing.TB) {
	t.Helper()
	status := g.Running(t)
	for _, check := range status.Checks {
		if !check.OK {
			t.Errorf("check %s: %s", check.ID, check.Message)
		}
	}
	if status.Node == nil || status.Certificates == nil {
		t.Errorf("the node was not asked: %+v", status)
	}
}

// comesBack ends the test unless the gateway becomes healthy without a command.
func (g *Gateway) comesBack(t testing.TB) {
	t.Helper()
	began := time.Now()
	eventually(t, time.Minute, "the gateway comes back by itself", func() bool {
		status, _ := g.Status(t)
		return status.Word == bootstrap.Running
	})
	t.Logf("it came back by itself in %s", time.Since(began).Round(time.Millisecond))
}

// staysStopped ends the test unless the gateway says that it is stopped.
func (g *Gateway) staysStopped(t testing.TB) {
	t.Helper()
	if status, code := g.Status(t); status.Word != bootstrap.Stopped || code != 3 {
		t.Fatalf("status: exit code %d, %q; want 3, stopped", code, status.Word)
	}
}

// unreachable expects every verb to say that the engine does not answer.
func (g *Gateway) unreachable(t testing.TB) {
	t.Helper()
	for _, verb := range []string{"status", "start", "stop", "list"} {
		g.CLI(t, "gateway", verb).Exits(t, 4).Says(t, g.engine.Socket(), "does not answer", "start Docker", "DOCKER_HOST")
	}
}
