package bootstrap

import (
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

// snapshotted is a gateway with a snapshot of 41 minutes ago, and data that its
// node cannot read.
func (r *rig) snapshotted() (snapshot string) {
	r.t.Helper()
	r.mustStart(StartOptions{})
	name := nodeapi.StateName(nodeapi.SnapshotPrefix, time.Now().Add(-41*time.Minute))
	r.engine.PutVolumeFile(resource, "current/snapshots/"+name+nodeapi.SnapshotSuffix, 0o600, []byte("known"))
	r.damage()
	return name
}

func TestPitfall27AnUnreadableStateOffersItsSnapshot(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		name := r.snapshotted()
		e := r.mustFail(StartOptions{}, fault.StateDamaged)
		command := "`openshell gateway restore " + name + " --name " + string(testName) + "`"
		if e.Exit != fault.ExitDecision || len(e.Hints) > maxHints || !strings.Contains(e.Hints[0], command) ||
			!strings.Contains(e.Message, "41 minutes ago") {
			t.Errorf("%q, hints %q; want %s", e.Message, e.Hints, command)
		}
		identity := r.identity()
		present, err := r.m.Restore(t.Context(), testName, name, r)
		if err != nil || !strings.HasPrefix(present, nodeapi.DatabasePrefix) {
			t.Fatalf("%q, %v", present, err)
		}
		r.mustStart(StartOptions{})
		if r.identity() != identity {
			t.Errorf("identity %q, want %q", r.identity(), identity)
		}
		s, err := r.m.Status(t.Context(), testName)
		if err != nil || len(s.Volume.Snapshots) != 1 || s.Volume.Snapshots[0].Name != name || len(s.Volume.Asides) != 0 {
			t.Errorf("%+v, %v", s.Volume, err)
		}
	})
}

// A state that gives way to a fresh gateway takes its snapshots along, and what
// is printed says how to get to them.
func TestAFreshGatewayNamesTheSnapshotOfTheOldOne(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		name := r.snapshotted()
		res, err := r.ensure()
		if err != nil || !strings.Contains(res.Snapshot, "gateway restore "+name) || !r.said(res.Snapshot) || !r.said(res.Restore) {
			t.Errorf("%+v, %v, %+v", res, err, r.events)
		}
	})
}

func TestAsOf(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 44, 30, 0, time.FixedZone("", 3600))
	for want, at := range map[string]time.Time{
		"14:44, just now":                     now.Add(-30 * time.Second),
		"14:43, 1 minute ago":                 now.Add(-90 * time.Second),
		"14:03, 41 minutes ago":               now.Add(-41 * time.Minute).UTC(),
		"12:34, 2 hours ago":                  now.Add(-130 * time.Minute),
		"2026-11-20 23:44, 15 hours ago":      now.Add(-15 * time.Hour),
		"2026-11-11 14:44, 10 days ago":       now.AddDate(0, 0, -10),
		"14:50, by a clock ahead of this one": now.Add(6 * time.Minute),
	} {
		if got := AsOf(at, now); got != want {
			t.Errorf("AsOf: %q, want %q", got, want)
		}
	}
}
