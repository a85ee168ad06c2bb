// Package volume sets the state of a gateway aside and brings it back, by
// renames on the volume: nothing is copied, nothing deleted.
package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	current   = "current"
	timestamp = "20060102T150405Z"
)

var asideName = regexp.MustCompile(`^` + nodeapi.AsidePrefix + `\d{8}T\d{6}Z(-\d+|` + nodeapi.UnreadableSuffix + `)?$`)

// Volume is the root directory of a gateway's volume.
type Volume struct{ Root string }

// Asides lists the states that were set aside, newest first.
func (v Volume) Asides() ([]nodeapi.Aside, error) {
	entries, err := os.ReadDir(v.Root)
	if err != nil {
		return nil, err
	}
	asides := []nodeapi.Aside{}
	for _, e := range entries {
		if !e.IsDir() || !asideName.MatchString(e.Name()) {
			continue
		}
		stamp := e.Name()[len(nodeapi.AsidePrefix):][:len(timestamp)]
		at, err := time.Parse(timestamp, stamp)
		if err != nil {
			continue
		}
		asides = append(asides, nodeapi.Aside{Name: e.Name(), At: at})
	}
	sort.Slice(asides, func(i, j int) bool { return asides[i].Name > asides[j].Name })
	return asides, nil
}

// SetAside gives the present state the name of an aside. It is an error when
// there is no present state, or already a state of that name.
func (v Volume) SetAside(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := v.rename(current, name); err != nil {
		return err
	}
	return durable.SyncDir(v.Root)
}

// Restore makes an aside the present state. A present state is set aside under
// the given name; whether there was one is returned. The two states change
// places in one step, so that at no moment there is none.
func (v Volume) Restore(aside, present string) (bool, error) {
	if err := errors.Join(checkName(aside), checkName(present)); err != nil {
		return false, err
	}
	if _, err := os.Stat(v.path(aside)); err != nil {
		return false, err
	}
	if _, err := os.Lstat(v.path(present)); !errors.Is(err, fs.ErrNotExist) {
		return false, errors.Join(fmt.Errorf("%s is there already", present), err)
	}
	err := unix.Renameat2(unix.AT_FDCWD, v.path(aside), unix.AT_FDCWD, v.path(current), unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		return false, errors.Join(v.rename(aside, current), durable.SyncDir(v.Root))
	}
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", aside, current, err)
	}
	return true, errors.Join(v.rename(aside, present), durable.SyncDir(v.Root))
}

func (v Volume) path(name string) string { return filepath.Join(v.Root, name) }

func checkName(name string) error {
	if !asideName.MatchString(name) {
		return fmt.Errorf("%q is not a name like aside-20261121T211500Z", name)
	}
	return nil
}

// rename refuses to put a directory over another one, even an empty one.
func (v Volume) rename(from, to string) error {
	target := v.path(to)
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already", to), err)
	}
	return os.Rename(v.path(from), target)
}
