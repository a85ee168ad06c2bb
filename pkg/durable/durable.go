// Package durable replaces files as a whole: a reader, or a crash, finds the old
// content or the new.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile replaces a file as a whole. When it returns nil, the new content
// and the name are on the disk.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return WriteFileBy(path, data, mode, atOnce)
}

// WriteFileBy is WriteFile with the rename, before which nobody sees anything
// of the new content, in the hands of commit.
func WriteFileBy(path string, data []byte, mode fs.FileMode, commit func(rename func() error) error) error {
	if err := replace(path, data, mode, (*os.File).Sync, commit); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Unfinished begins the names, beside a file, of what a writer that was killed
// left of its new content.
func Unfinished(path string) string { return "." + filepath.Base(path) + ".new-" }

// Replace replaces a file as a whole and waits for no disk: for what is gone
// after a power cut anyway.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return replace(path, data, mode, func(*os.File) error { return nil }, atOnce)
}

func atOnce(rename func() error) error { return rename() }

func replace(path string, data []byte, mode fs.FileMode, sync func(*os.File) error, commit func(func() error) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), Unfinished(path))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(mode), sync(temp), temp.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := commit(func() error { return os.Rename(temp.Name(), path) }); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// SyncDir makes the names in a directory durable. Windows cannot.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
