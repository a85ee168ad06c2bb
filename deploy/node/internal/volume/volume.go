// Package volume sets the state of a gateway aside and brings it back. Both are
// one rename on the volume: nothing is copied, nothing deleted.
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

	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	current   = "current"
	timestamp = "20060102T150405Z"
)

var asideName = regexp.MustCompile(`^` + nodeapi.AsidePrefix + `\d{8}T\d{6}Z(-\d+)?$`)

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
	return v.sync()
}

// Restore makes an aside the present state. A present state is set aside under
// the given name first; whether there was one is returned.
func (v Volume) Restore(aside, present string) (bool, error) {
	if err := errors.Join(checkName(aside), checkName(present)); err != nil {
		return false, err
	}
	if _, err := os.Stat(filepath.Join(v.Root, aside)); err != nil {
		return false, err
	}
	err := v.rename(current, present)
	had := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := v.rename(aside, current); err != nil {
		return had, err
	}
	return had, v.sync()
}

func checkName(name string) error {
	if !asideName.MatchString(name) {
		return fmt.Errorf("%q is not a name like aside-20261121T211500Z", name)
	}
	return nil
}

// rename refuses to put a directory over another one, even an empty one.
func (v Volume) rename(from, to string) error {
	target := filepath.Join(v.Root, to)
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already", to), err)
	}
	return os.Rename(filepath.Join(v.Root, from), target)
}

// sync makes the renames durable.
func (v Volume) sync() error {
	dir, err := os.Open(v.Root)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
