//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

// One gateway loses its processes and finds its files damaged, one after the
// other. It comes back as it was, or says what is wrong and what to do.
func TestNodeFaults(t *testing.T) {
	t.Parallel()
	g := started(t, "nodefaults")
	g.Keep(t)
	before := g.Fingerprint(t)
	for _, fault := range []struct {
		name string
		test func(*testing.T, *Gateway, Fingerprint)
	}{
		{"processes killed", testProcessesKilled},
		{"TestPitfall27CertificatesDamaged", testCertificatesDamaged},
		{"TestPitfall27LogTorn", testLogTorn},
	} {
		if !t.Run(fault.name, func(t *testing.T) {
			fault.test(t, g, before)
			g.Same(t, before)
			g.tidy(t)
		}) {
			t.FailNow() // what follows would only fail because of it
		}
	}
}

// testProcessesKilled kills what the node runs, each without a warning. The
// node starts it again by itself; nobody is asked for help.
func testProcessesKilled(t *testing.T, g *Gateway, _ Fingerprint) {
	box := g.sandbox(t, "kept")
	box.sh(t, "echo kept >file")
	for _, component := range []string{"containerd", "node", "control-plane"} {
		was := g.component(t, component)
		g.Sh(t, "kill -9 "+strconv.Itoa(was.PID))
		g.healsWith(t, component+" is another process and ready", func(s nodeapi.Status) bool {
			now := componentOf(s, component)
			return now.State == "ready" && now.PID != was.PID && now.Restarts > was.Restarts
		})
	}
	// A pod without its shim is a pod that ended: it is made anew, whosever it is.
	started := func() string {
		return g.Kubectl(t, "get", "pods", "--all-namespaces", "--field-selector=status.phase=Running", "--sort-by=.metadata.uid",
			"-o", "jsonpath={range .items[*]}{.metadata.name}/{.status.containerStatuses[*].containerID} {end}")
	}
	was := strings.Fields(started())
	g.Sh(t, `for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in containerd-shim*) kill -9 ${p#/proc/};; esac; done`)
	eventually(t, 2*time.Minute, "every container is another one", func() bool {
		now := started()
		for _, container := range was {
			if strings.Contains(now, container) {
				return false
			}
		}
		return len(strings.Fields(now)) == len(was) && g.ready(t) == 1
	})
	g.healsWith(t, "the node serves", func(nodeapi.Status) bool { return true })
	if got := box.sh(t, "cat file"); got != "kept" {
		t.Errorf("the file of the sandbox is %q", got)
	}
	box.delete(t)
}

// testCertificatesDamaged damages what the node's own certificates are made of.
// All that depends on them is made anew at a boot.
func testCertificatesDamaged(t *testing.T, g *Gateway, _ Fingerprint) {
	for _, files := range []string{"ca.crt sa.key admin.kubeconfig", "ca.key"} {
		stopped(t, g)
		g.OnVolume(t, "", "cd current/pki; for f in "+files+"; do head -c 100 /dev/urandom >$f; done")
		g.Start(t)
	}
	if kept := g.Sh(t, "ls "+nodeapi.Current+"/pki"); !strings.Contains(kept, "ca.key.damaged-") {
		t.Errorf("the damaged key of the authority was not kept: %s", kept)
	}
}

// testLogTorn ends the gateway without a warning and cuts the log of etcd where
// a power cut may have. What etcd repairs comes back by itself. Anything else is
// said, with the way back to a snapshot, which works.
func testLogTorn(t *testing.T, g *Gateway, before Fingerprint) {
	stopped(t, g) // the snapshot to go back to
	g.Start(t)
	for name, c := range map[string]struct {
		lost     string // bytes of what was written, as an expression of its length $n
		repaired bool   // by etcd, whatever else was said
	}{
		"in the last record": {"3", true},
		"all of it":          {"$n", false},
	} {
		t.Run(name, func(t *testing.T) {
			docker(t, "kill", g.Resource())
			g.OnVolume(t, "", fmt.Sprintf(`perl -e 'my $f = (sort glob "current/etcd/member/wal/*.wal")[-1];
				open my $h, "+<:raw", $f or die; local $/; my $d = <$h>; $d =~ s/\0+\z//; my $n = length $d; truncate $h, int($n - (%s)) or die'`, c.lost))
			r := g.CLI(t, "gateway", "start")
			if r.Code == 0 && c.repaired {
				return
			}
			r.Exits(t, 7).Says(t, "cannot be read", " as of ", "openshell gateway restore "+nodeapi.SnapshotPrefix)
			g.SavedLog(t, r)
			g.CLI(t, "gateway", "restore", g.snapshots(t)[0].Name).Exits(t, 0).Says(t, "again", nodeapi.DatabasePrefix)
			g.Start(t)
			g.Same(t, before)
		})
	}
}

func (g *Gateway) component(t *testing.T, name string) nodeapi.Component {
	t.Helper()
	status := g.Running(t)
	c := componentOf(*status.Node, name)
	if c.PID == 0 {
		t.Fatalf("the node reports no process of %s: %+v", name, status.Node.Components)
	}
	return c
}

func componentOf(s nodeapi.Status, name string) nodeapi.Component {
	for _, c := range s.Components {
		if c.Name == name {
			return c
		}
	}
	return nodeapi.Component{}
}

// healsWith waits until the gateway is healthy again, without anybody's help,
// and what its node reports is as wanted.
func (g *Gateway) healsWith(t *testing.T, what string, wanted func(nodeapi.Status) bool) {
	t.Helper()
	began := time.Now()
	eventually(t, 2*time.Minute, what, func() bool {
		status, code := g.Status(t)
		return code == 0 && status.Node != nil && status.Node.Phase == nodeapi.Serving && wanted(*status.Node)
	})
	t.Logf("%s after %s", what, time.Since(began).Round(time.Millisecond))
	if restarts := g.Inspect(t, "{{.RestartCount}}"); restarts != "0" {
		t.Errorf("the container was started again %s times", restarts)
	}
}
