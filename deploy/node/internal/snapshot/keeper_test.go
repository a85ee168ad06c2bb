package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"openshell.ai/openshell/deploy/node/internal/snapshot"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// database is a file of bbolt, read as etcd reads its own.
type database struct{ data []byte }

func newDatabase(t *testing.T) database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("key"))
		if err != nil {
			return err
		}
		for i := range 2000 {
			if err := b.Put([]byte{byte(i >> 8), byte(i)}, bytes.Repeat([]byte{1}, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return database{data}
}

func (d database) Size() int64  { return int64(len(d.data)) }
func (d database) Close() error { return nil }
func (d database) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, bytes.NewReader(d.data))
}

// keeper keeps snapshots of a sound database, with room to spare.
func keeper(t *testing.T) *snapshot.Keeper {
	t.Helper()
	source := newDatabase(t)
	return &snapshot.Keeper{
		Dir:     filepath.Join(t.TempDir(), "snapshots"),
		Open:    func() snapshot.Source { return source },
		Healthy: func() bool { return true },
		Free:    func() (uint64, error) { return 1 << 40, nil },
		Reserve: 1 << 20,
		Check:   snapshot.Check,
	}
}

// files are the names in the directory of snapshots, oldest first.
func files(t *testing.T, k *snapshot.Keeper) []string {
	t.Helper()
	entries, err := os.ReadDir(k.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func same(t *testing.T, k *snapshot.Keeper, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), files(t, k)); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}
}

func TestThreeAreKept(t *testing.T) {
	k := keeper(t)
	for i := range 5 {
		if err := k.Take(t.Context(), noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, k, "snapshot-20261121T140000Z.db", "snapshot-20261121T150000Z.db", "snapshot-20261121T160000Z.db")
	for _, name := range files(t, k) {
		if err := snapshot.Check(filepath.Join(k.Dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(k.Dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v, %v", name, info.Mode(), err)
		}
	}
}

// The clock of a virtual machine may go back: the snapshot just taken is one of
// the three even if all others are of a later time.
func TestTheOneJustTakenIsKept(t *testing.T) {
	k := keeper(t)
	for _, hour := range []int{10, 11, 12, 1} {
		if err := k.Take(t.Context(), noon.Add(time.Duration(hour)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, k, "snapshot-20261121T130000Z.db", "snapshot-20261121T230000Z.db", "snapshot-20261122T000000Z.db")
}

// Whatever goes wrong, the snapshots there were are there, and nothing torn.
func TestPitfall27AFailedSnapshotCostsNothing(t *testing.T) {
	damaged := newDatabase(t)
	copy(damaged.data[4096*5:], bytes.Repeat([]byte{0xff}, 4096))
	for name, c := range map[string]struct {
		change func(*snapshot.Keeper)
		ctx    func(context.Context) context.Context
		want   string // in the error; "": none
	}{
		"not healthy":      {change: func(k *snapshot.Keeper) { k.Healthy = func() bool { return false } }},
		"no room":          {change: func(k *snapshot.Keeper) { k.Free = func() (uint64, error) { return 1 << 20, nil } }, want: "MiB left"},
		"room unknown":     {change: func(k *snapshot.Keeper) { k.Free = func() (uint64, error) { return 0, errors.New("statfs") } }, want: "statfs"},
		"database damaged": {change: func(k *snapshot.Keeper) { k.Open = func() snapshot.Source { return damaged } }, want: "damaged"},
		"database cut": {change: func(k *snapshot.Keeper) {
			k.Open = func() snapshot.Source { return database{damaged.data[:4096]} }
		}, want: "damaged"},
		"reading fails": {change: func(k *snapshot.Keeper) { k.Open = func() snapshot.Source { return failing{newDatabase(t)} } }, want: "no more"},
		"out of time": {ctx: func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}, want: "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			k := keeper(t)
			for i := range 3 {
				if err := k.Take(t.Context(), noon.Add(time.Duration(i)*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			before := files(t, k)
			ctx := t.Context()
			if c.change != nil {
				c.change(k)
			}
			if c.ctx != nil {
				ctx = c.ctx(ctx)
			}
			err := k.Take(ctx, noon.Add(9*time.Hour))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			same(t, k, before...)
		})
	}
}

// failing ends in the middle.
type failing struct{ database }

func (f failing) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(f.data[:len(f.data)/2])
	return int64(n), errors.Join(err, errors.New("no more"))
}

// What a kill left half written is neither a snapshot nor in the way of one.
func TestPitfall27TornSnapshot(t *testing.T) {
	k := keeper(t)
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.Dir, "unfinished"), bytes.Repeat([]byte{7}, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Take(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	same(t, k, "snapshot-20261121T120000Z.db")
	if err := snapshot.Check(filepath.Join(k.Dir, files(t, k)[0])); err != nil {
		t.Error(err)
	}
}

// etcd cannot end while a snapshot reads from its database.
func TestTheDatabaseIsLetGoEarlyAndAlways(t *testing.T) {
	for name, change := range map[string]func(*snapshot.Keeper){
		"all went well": func(*snapshot.Keeper) {},
		"no room":       func(k *snapshot.Keeper) { k.Free = func() (uint64, error) { return 0, nil } },
		"no directory": func(k *snapshot.Keeper) {
			k.Free = func() (uint64, error) { return 1 << 40, os.Remove(k.Dir) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := keeper(t)
			source := &held{database: newDatabase(t)}
			k.Open = func() snapshot.Source { return source }
			k.Check = func(string) error {
				if source.closed != 1 {
					t.Error("the database is held while the snapshot is checked")
				}
				return nil
			}
			change(k)
			if err := k.Take(t.Context(), noon); (err == nil) != (name == "all went well") {
				t.Error(err)
			}
			if source.closed != 1 {
				t.Errorf("the database was closed %d times", source.closed)
			}
		})
	}
}

// held counts how often it was closed: etcd's panics the second time.
type held struct {
	database
	closed int
}

func (h *held) Close() error {
	h.closed++
	return nil
}

// An old snapshot goes only when the new one has its name.
func TestOldOnesGoLast(t *testing.T) {
	k := keeper(t)
	var during []string
	k.Check = func(string) error {
		during = files(t, k)
		return nil
	}
	for i := range 4 {
		if err := k.Take(t.Context(), noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if len(during) != 4 || !slices.Contains(during, "snapshot-20261121T120000Z.db") {
		t.Errorf("while the fourth was written there were %v", during)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	k := keeper(t)
	if err := k.Take(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(k.Dir, files(t, k)[0]))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"a bit":          func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"in the hash":    func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut by a page":  func(b []byte) []byte { return b[:len(b)-4096] },
		"hash lost":      func(b []byte) []byte { return b[:len(b)-32] },
		"nothing":        func([]byte) []byte { return nil },
		"something else": func([]byte) []byte { return []byte(strings.Repeat("x", 8192)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "snapshot")
			if err := os.WriteFile(path, damage(bytes.Clone(good)), 0o600); err != nil {
				t.Fatal(err)
			}
			if snapshot.Check(path) == nil {
				t.Error("it is taken for a sound snapshot")
			}
		})
	}
}
