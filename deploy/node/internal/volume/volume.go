// Package volume sets the state of a gateway aside and brings it back, by
// renames on the volume: nothing of it is copied, nothing deleted.
package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Names below the root, see nodeapi.
var (
	current   = filepath.Base(nodeapi.Current)
	etcd      = filepath.Base(nodeapi.EtcdDir)
	snapshots = filepath.Base(nodeapi.SnapshotDir)
)

// Volume is the root directory of a gateway's volume.
type Volume struct {
	Root  string
	Build func(ctx context.Context, snapshot, dir string) error // makes data of etcd, durable, in a directory that does not exist
}

// List is what a directory holds that has a name with the prefix, newest first.
// suffix is what the names have on the disk beyond that.
func List(dir, prefix, suffix string) ([]nodeapi.Aside, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	have := []nodeapi.Aside{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		kind, at, isState := nodeapi.ParseState(name)
		if ok && isState && kind == prefix && e.IsDir() == (suffix == "") {
			have = append(have, nodeapi.Aside{Name: name, At: at})
		}
	}
	slices.SortFunc(have, func(a, b nodeapi.Aside) int { return cmp.Compare(b.Name, a.Name) })
	return have, nil
}

// Asides lists what can be brought back: whole states, then snapshots of the
// present state, then databases of it; each newest first.
func (v Volume) Asides() ([]nodeapi.Aside, error) {
	all := []nodeapi.Aside{}
	for _, kind := range []struct{ dir, prefix, suffix string }{
		{v.Root, nodeapi.AsidePrefix, ""},
		{v.path(current, snapshots), nodeapi.SnapshotPrefix, nodeapi.SnapshotSuffix},
		{v.path(current), nodeapi.DatabasePrefix, ""},
	} {
		have, err := List(kind.dir, kind.prefix, kind.suffix)
		if err != nil && (!errors.Is(err, fs.ErrNotExist) || kind.dir == v.Root) {
			return nil, err
		}
		all = append(all, have...)
	}
	return all, nil
}

// SetAside gives the present state the name of an aside. It is an error when
// there is no present state, or already a state of that name.
func (v Volume) SetAside(name string) error {
	if err := checkName(name, nodeapi.AsidePrefix); err != nil {
		return err
	}
	if err := rename(v.path(current), v.path(name)); err != nil {
		return err
	}
	return durable.SyncDir(v.Root)
}

// Restore brings something back and gives what is in its place the name
// present: a whole state for a whole state, data of etcd for a snapshot or a
// database. Whether there was anything is returned. The two change places in
// one step, so that at no moment there is none.
func (v Volume) Restore(ctx context.Context, name, present string) (bool, error) {
	kind, _, ok := nodeapi.ParseState(name)
	switch {
	case !ok:
		return false, fmt.Errorf("%q is not a name of what can be brought back", name)
	case kind == nodeapi.AsidePrefix:
		return v.restoreState(name, present)
	}
	if err := checkName(present, nodeapi.DatabasePrefix); err != nil {
		return false, err
	}
	if kind == nodeapi.DatabasePrefix {
		return v.restoreDatabase(name, present)
	}
	return v.restoreSnapshot(ctx, name, present)
}

func (v Volume) restoreState(aside, present string) (bool, error) {
	if err := checkName(present, nodeapi.AsidePrefix); err != nil {
		return false, err
	}
	if err := absent(v.path(present)); err != nil {
		return false, err
	}
	had, err := exchange(v.path(aside), v.path(current))
	if err != nil || !had {
		return false, err
	}
	return true, errors.Join(rename(v.path(aside), v.path(present)), durable.SyncDir(v.Root))
}

func (v Volume) path(names ...string) string {
	return filepath.Join(append([]string{v.Root}, names...)...)
}

func checkName(name, prefix string) error {
	if kind, _, ok := nodeapi.ParseState(name); !ok || kind != prefix {
		return fmt.Errorf("%q is not a name like %s20261121T211500Z", name, prefix)
	}
	return nil
}

// exchange lets two directories, of one parent, change places. Without the
// second, the first takes its place; whether it was there is returned.
func exchange(path, place string) (bool, error) {
	if _, err := os.Stat(path); err != nil {
		return false, err
	}
	had := true
	err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		had, err = false, rename(path, place)
	}
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", filepath.Base(path), filepath.Base(place), err)
	}
	return had, durable.SyncDir(filepath.Dir(place))
}

// rename refuses to put a directory over another one, even an empty one.
func rename(from, to string) error {
	if err := absent(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func absent(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already", filepath.Base(path)), err)
	}
	return nil
}
