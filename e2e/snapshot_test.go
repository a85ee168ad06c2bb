//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
)

// The database of a gateway is torn. Its newest snapshot brings back what there
// was, with the files of sandboxes as they are by then, and the torn one is kept.
func TestPitfall27SnapshotBringsTheGatewayBack(t *testing.T) {
	t.Parallel()
	g := started(t, "snapshot")
	g.Keep(t)
	kept, deleted := g.sandbox(t, "kept"), g.sandbox(t, "deleted")
	before := g.Fingerprint(t)
	kept.sh(t, "echo then >file")
	deleted.sh(t, "echo then >file")

	r := g.CLI(t, "gateway", "stop").Exits(t, 0)
	t.Logf("stopped in %s", r.Took.Round(time.Millisecond))
	snapshots := g.snapshots(t)
	if len(snapshots) == 0 {
		t.Fatal("there is no snapshot after a clean stop")
	}
	taken := snapshots[0]
	if age := time.Since(taken.At); age > 5*time.Minute {
		t.Errorf("the snapshot of the stop is %s old", age)
	}

	// Since then one sandbox was made, one deleted, and one has worked on; the
	// gateway's end was no clean one.
	g.Start(t)
	lost := g.sandbox(t, "lost")
	lost.sh(t, "echo work >file")
	deleted.delete(t)
	kept.sh(t, "echo since >>file")
	known := g.OnVolume(t, "", "cd current/workspaces; ls")
	docker(t, "kill", g.Resource())
	g.OnVolume(t, "", "truncate -s 100000 current/etcd/member/wal/*.wal; head -c 65536 /dev/urandom | dd conv=notrunc of=current/etcd/member/snap/db")

	command := "openshell gateway restore " + g.snapshots(t)[0].Name
	r = failsToResume(t, g, 7).Says(t, "cannot be read", "there is a snapshot of it, as of", command)
	if !strings.Contains(r.Stderr, command) {
		t.Fatalf("the command is not said: %s", r)
	}
	// What was taken at the stop, not what an hourly one may have added.
	var restored struct {
		PresentSetAsideAs string
		AsOf              time.Time
	}
	g.CLI(t, "gateway", "restore", taken.Name, "-o", "json").Exits(t, 0).JSON(t, &restored)
	if !restored.AsOf.Equal(taken.At) || !strings.HasPrefix(restored.PresentSetAsideAs, nodeapi.DatabasePrefix) {
		t.Errorf("restored: %+v", restored)
	}
	r = g.Start(t)
	t.Logf("back in %s", r.Took.Round(time.Millisecond))
	g.Same(t, before)
	eventually(t, time.Minute, "the sandboxes of the snapshot are back", func() bool { return g.ready(t) == 2 })
	if got := kept.sh(t, "cat file"); got != "then\nsince" {
		t.Errorf("the file of a sandbox is %q", got)
	}
	if got := deleted.sh(t, "ls"); got != "" {
		t.Errorf("the sandbox that was deleted has %q", got)
	}
	if r := g.CLI(t, "sandbox", "get", "lost"); r.Code == 0 {
		t.Errorf("the sandbox made after the snapshot is known: %s", r)
	}
	// Its files are: the records that are gone took nothing along.
	for _, volume := range strings.Fields(known) {
		g.Sh(t, "test -d "+nodeapi.Current+"/workspaces/"+volume)
	}
	if n := g.Sh(t, "grep -rlx work "+nodeapi.Current+"/workspaces | wc -l"); n != "1" {
		t.Errorf("the file of the sandbox that is unknown is there %s times", n)
	}
	g.sandbox(t, "new").sh(t, "echo goes on >file")
	g.tidy(t)
}

// snapshots are those of the present state, newest first.
func (g *Gateway) snapshots(t *testing.T) []nodeapi.Aside {
	t.Helper()
	var list struct{ States []nodeapi.Aside }
	g.CLI(t, "gateway", "restore", "-o", "json").Exits(t, 0).JSON(t, &list)
	snapshots := slices.DeleteFunc(list.States, func(s nodeapi.Aside) bool {
		kind, _, _ := nodeapi.ParseState(s.Name)
		return kind != nodeapi.SnapshotPrefix
	})
	if status, _ := g.Status(t); status.Word != bootstrap.Broken && len(status.Volume.Snapshots) != len(snapshots) {
		t.Errorf("status lists %d snapshots, restore %d", len(status.Volume.Snapshots), len(snapshots))
	}
	return snapshots
}
