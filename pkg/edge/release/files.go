package release

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"openshell.ai/openshell/pkg/durable"
)

// link points a symbolic link in dir elsewhere, in one step.
func link(dir, name, target string) error {
	temporary := filepath.Join(dir, "."+name+".new")
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := os.Symlink(target, temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// prune removes every directory of dir but those named; what is no directory stays.
func prune(dir string, keep ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if entry.IsDir() && !slices.Contains(keep, entry.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}
