package hostconfig

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openshell.ai/openshell/pkg/durable"
)

// maxFile bounds what is read of a file that others can write.
const maxFile = 8 << 20

// makeDir makes path and its parents for the user alone.
func makeDir(path string) error {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return unwritable(path, err)
	}
	// MkdirAll leaves the mode of a directory that was there.
	if err := os.Chmod(path, dirMode); err != nil {
		return unwritable(path, err)
	}
	return nil
}

// readFile reads path. Only a missing file is fs.ErrNotExist.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, readError(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, readError(path, err)
	}
	return data, nil
}

func readError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return unreadable(path, err)
}

// writeTries bounds how often writers of one file may be in each other's way.
const writeTries = 3

// writeFile replaces path so that a reader, or a crash, finds the old content
// or the new one. It deletes what writers of the file left that were killed.
func (s *Store) writeFile(path string, data []byte) (err error) {
	for range writeTries {
		if err = removeUnfinished(filepath.Dir(path), durable.Unfinished(path)); err != nil {
			break
		}
		err = durable.WriteFileBy(path, data, fileMode, func(rename func() error) error { return s.commit(path, rename) })
		// A writer at the same time may have taken our file for a leftover.
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return unwritable(path, err)
	}
	return nil
}

func removeUnfinished(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillFile writes data to f, makes it durable and closes f.
func fillFile(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
