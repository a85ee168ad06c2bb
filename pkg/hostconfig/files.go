package hostconfig

import (
	"errors"
	"io"
	"io/fs"
	"os"

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

// writeFile replaces path so that a reader, or a crash, finds the old content
// or the new one.
func writeFile(path string, data []byte) error {
	if err := durable.WriteFile(path, data, fileMode); err != nil {
		return unwritable(path, err)
	}
	return nil
}

// fillFile writes data to f, makes it durable and closes f.
func fillFile(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
