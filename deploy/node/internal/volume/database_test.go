package volume_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/deploy/node/internal/volume"
)

const (
	snap   = "snapshot-20261121T211500Z"
	before = "database-20261122T080000Z"
	later  = "database-20261123T080000Z"
)

// state makes a volume with data of etcd and a snapshot, and what lies beside
// them.
func state(t *testing.T) (volume.Volume, string) {
	t.Helper()
	root := t.TempDir()
	put(t, root, "current/etcd/member/data", "unreadable")
	put(t, root, "current/snapshots/"+snap+".db", "known")
	put(t, root, "current/snapshots/unfinished", "torn")
	put(t, root, "current/workspaces/pvc-1/file", "work")
	put(t, root, "current/gateway.json", "{}")
	return volume.Volume{Root: root, Build: build}, root
}

func put(t *testing.T, root, path, content string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// build stands in for etcd: the data is what the snapshot knows.
func build(_ context.Context, snapshot, dir string) error {
	data, err := os.ReadFile(snapshot)
	if err != nil {
		return err
	}
	return errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, "member"), 0o700),
		os.WriteFile(filepath.Join(dir, "member/data"), data, 0o600))
}

// all maps every file on the volume to its content.
func all(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		got[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// beside is what a restore of data never touches.
func beside(more map[string]string) map[string]string {
	want := map[string]string{
		"current/snapshots/" + snap + ".db": "known", "current/snapshots/unfinished": "torn",
		"current/workspaces/pvc-1/file": "work", "current/gateway.json": "{}",
	}
	for name, content := range more {
		want[name] = content
	}
	return want
}

func TestRestoreASnapshotAndGoBack(t *testing.T) {
	v, root := state(t)
	had, err := v.Restore(t.Context(), snap, before)
	if err != nil || !had {
		t.Fatalf("Restore = %t, %v; want data to be set aside", had, err)
	}
	want := beside(map[string]string{
		"current/etcd/member/data": "known", "current/etcd/restored": snap + "\n",
		"current/" + before + "/member/data": "unreadable",
	})
	if diff := cmp.Diff(want, all(t, root)); diff != "" {
		t.Fatal(diff)
	}

	had, err = v.Restore(t.Context(), before, later)
	if err != nil || !had {
		t.Fatalf("Restore = %t, %v; want data to be set aside", had, err)
	}
	want = beside(map[string]string{
		"current/etcd/member/data": "unreadable", "current/etcd/restored": before + "\n",
		"current/" + later + "/member/data": "known", "current/" + later + "/restored": snap + "\n",
	})
	if diff := cmp.Diff(want, all(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestRestoreASnapshotWithoutData(t *testing.T) {
	v, root := state(t)
	if err := os.RemoveAll(filepath.Join(root, "current/etcd")); err != nil {
		t.Fatal(err)
	}
	had, err := v.Restore(t.Context(), snap, before)
	if err != nil || had {
		t.Fatalf("Restore = %t, %v; want that there was nothing", had, err)
	}
	want := beside(map[string]string{"current/etcd/member/data": "known", "current/etcd/restored": snap + "\n"})
	if diff := cmp.Diff(want, all(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestAFailedRestoreOfASnapshotChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		snapshot, present string
		build             func(context.Context, string, string) error
	}{
		"no such snapshot":   {"snapshot-20200101T000000Z", before, build},
		"a torn one":         {"unfinished", before, build},
		"elsewhere":          {snap + "/../" + snap, before, build},
		"name of an aside":   {snap, first, build},
		"name that is taken": {snap, later, build},
		"snapshot damaged": {snap, before, func(ctx context.Context, snapshot, dir string) error {
			return errors.Join(build(ctx, snapshot, dir), errors.New("its hash is another"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			v, root := state(t)
			put(t, root, "current/"+later+"/member/data", "of another day")
			was := all(t, root)
			v.Build = c.build
			if _, err := v.Restore(t.Context(), c.snapshot, c.present); err == nil {
				t.Error("no error")
			}
			if diff := cmp.Diff(was, all(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSnapshotsAreListed(t *testing.T) {
	v, root := state(t)
	put(t, root, "current/snapshots/snapshot-20261122T211500Z.db", "known")
	put(t, root, "current/snapshots/snapshot-nonsense.db", "")
	put(t, root, "current/"+before+"/member/data", "")
	put(t, root, "current/etcd.building/member/data", "")
	put(t, root, first+"/gateway.json", "")
	list, err := v.Asides()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	if diff := cmp.Diff([]string{first, "snapshot-20261122T211500Z", snap, before}, names); diff != "" {
		t.Error(diff)
	}
}

// After a kill at any call of the kernel that changes a directory the present
// data is the old or that of the snapshot, as a whole; the old data is there
// under some name; and the same restore under another name does its work.
func TestPitfall05RestoreOfASnapshotKilledAnywhere(t *testing.T) {
	if root := os.Getenv("RESTORE_ROOT"); root != "" { // this is the process that is killed
		if _, err := (volume.Volume{Root: root, Build: build}).Restore(t.Context(), snap, before); err != nil {
			t.Fatal(err)
		}
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace to kill it with")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	points := 0
	for _, call := range []string{"mkdirat", "fsync", "renameat", "renameat2", "unlinkat"} {
		for n := 1; n < 100; n++ {
			v, root := state(t)
			cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+call,
				"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), self, "-test.run=^"+t.Name()+"$")
			cmd.Env = append(os.Environ(), "RESTORE_ROOT="+root)
			if out, err := cmd.CombinedOutput(); err == nil {
				break
			} else if strings.Contains(string(out), "FAIL") {
				t.Fatalf("%s %d: %s", call, n, out)
			}
			points++
			checkKilled(t, fmt.Sprintf("killed at %s %d", call, n), v, root)
		}
	}
	if points < 10 {
		t.Errorf("it was killed at %d points only", points)
	}
	t.Logf("killed at %d points", points)
}

func checkKilled(t *testing.T, when string, v volume.Volume, root string) {
	t.Helper()
	got := all(t, root)
	present, old := got["current/etcd/member/data"], 0
	for name, content := range got {
		if strings.HasSuffix(name, "/member/data") && content == "unreadable" {
			old++
		}
	}
	if present != "unreadable" && present != "known" || old != 1 {
		t.Errorf("%s: %v", when, got)
	}
	if got["current/workspaces/pvc-1/file"] != "work" {
		t.Errorf("%s: the files of a sandbox are lost", when)
	}
	if _, err := v.Restore(t.Context(), snap, later); err != nil {
		t.Errorf("%s, then again: %v", when, err)
	}
	if after := all(t, root); after["current/etcd/member/data"] != "known" {
		t.Errorf("%s, then again: %v", when, after)
	}
}
