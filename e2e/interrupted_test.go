//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
)

// The command line is killed at five moments of a first boot. There was never
// a healthy gateway, so the next start may begin from nothing; it must need no
// help to do so.
func TestPitfall05FirstBootKilled(t *testing.T) {
	t.Parallel()
	moments := []struct {
		name string
		at   func(bootstrap.Event) bool
	}{
		{"volume created", done(bootstrap.CreateVolume)},
		{"container created", done(bootstrap.CreateContainer)},
		{"container started", done(bootstrap.StartContainer)},
		{"Secrets being written", func(e bootstrap.Event) bool {
			return e.Step == string(bootstrap.ReconcileSecrets) && e.Kind == bootstrap.StepProgress
		}},
		{"chart applied", func(e bootstrap.Event) bool {
			return e.Step == string(bootstrap.AwaitHealthy) && strings.HasPrefix(e.Message, "chart ")
		}},
	}
	for _, moment := range moments {
		t.Run(moment.name, func(t *testing.T) {
			g := newGateway(t, "killed")
			g.killDuring(t, moment.at, append([]string{"gateway", "start"}, g.ports()...)...)
			if status, code := g.Status(t); code != 3 {
				t.Errorf("status after the kill: exit code %d, %s", code, status.Word)
			}
			r := g.Start(t, g.ports()...)
			t.Logf("%s: %s", r.Took.Round(time.Millisecond), strings.TrimSpace(r.Stdout))
			g.Running(t)
			g.tidy(t)
		})
	}
}

// The command line of a first boot is gone, the node comes up without it, and
// somebody begins to work: that is a gateway, whose state is kept.
func TestPitfall05FirstBootGoesOnAlone(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "alone")
	g.killDuring(t, done(bootstrap.WriteHostFiles), append([]string{"gateway", "start"}, g.ports()...)...)
	eventually(t, 2*time.Minute, "the node serves alone", func() bool {
		status, _ := g.Status(t)
		return status.Node != nil && status.Node.Has(nodeapi.Endpoint) && status.Node.Has(nodeapi.Workload)
	})
	secret := g.HandshakeSecret(t)
	docker(t, "stop", g.Resource())
	g.Start(t).Says(t, "as it was")
	if g.HandshakeSecret(t) != secret {
		t.Error("a gateway that had come up alone was begun from nothing")
	}
	g.tidy(t)
}

func done(op bootstrap.Op) func(bootstrap.Event) bool {
	return func(e bootstrap.Event) bool { return e.Kind == bootstrap.StepDone && e.Step == string(op) }
}

// killDuring runs openshell and kills it, without a warning, as soon as it
// reports an event for which at is true.
func (g *Gateway) killDuring(t *testing.T, at func(bootstrap.Event) bool, args ...string) {
	t.Helper()
	cmd := exec.Command(openshellBin, append(args, "-o", "json")...)
	cmd.Env = append(os.Environ(), g.Env()...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	killed := false
	lines := bufio.NewScanner(io.TeeReader(stderr, &said))
	for lines.Scan() {
		var event bootstrap.Event
		if json.Unmarshal(lines.Bytes(), &event) == nil && !killed && at(event) {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !killed || !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("it ended before the moment came (%v):\n%s", err, said.String())
	}
}

// Two gateways live side by side; the first is started by two at once.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	// Pitfall 21: the second's name is neither a host name nor short.
	one, other := newGateway(t, "one"), newGateway(t, "Other_Gateway.with-a-name-as-long-as-may-be")
	t.Run("TestPitfall04TwoStartsAtOnce", func(t *testing.T) {
		// The second finds the first's lock held whichever of them comes first.
		start := append([]string{"gateway", "start"}, one.ports()...)
		second := make(chan Result)
		go func() { second <- one.CLI(t, start...) }()
		results := []Result{one.CLI(t, start...), <-second}
		waited := 0
		for _, r := range results {
			if r.Code != 0 {
				t.Error(r)
			}
			if strings.Contains(r.Stderr, "waiting for openshell gateway start") && strings.Contains(r.Stdout, "already running") {
				waited++
			}
		}
		if waited != 1 {
			t.Errorf("%d of 2 starts waited for the other:\n%v\n%v", waited, results[0], results[1])
		}
		one.Running(t)
		one.tidy(t)
	})
	before := one.everything(t)
	other.Start(t)
	for _, g := range []*Gateway{one, other} {
		g.Running(t)
		g.tidy(t)
	}
	if nodes := other.Kubectl(t, "get", "nodes", "-o", "name"); nodes != "node/"+other.Name.Hostname() {
		t.Errorf("nodes are %s, not %s", nodes, other.Name.Hostname())
	}
	if one.HandshakeSecret(t) == other.HandshakeSecret(t) {
		t.Error("two gateways share a handshake secret")
	}
	// A client of one is nobody to the other.
	stranger := grpcurl(t, "-max-time", "10", "-insecure", "-cert", one.Bundle("tls.crt"), "-key", one.Bundle("tls.key"), other.Address(), "list")
	if stranger.Code == 0 {
		t.Errorf("a gateway accepts the client of another: %s", stranger)
	}
	other.CLI(t, "gateway", "stop").Exits(t, 0)
	other.Start(t)
	other.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
	one.Running(t)
	same(t, before, one.everything(t))
	if left, err := filepath.Glob(other.Dir()); err != nil || len(left) > 0 {
		t.Errorf("files of the destroyed gateway: %v %v", left, err)
	}
}
