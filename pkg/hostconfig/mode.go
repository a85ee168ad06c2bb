package hostconfig

import (
	"io/fs"
	"os"
	"runtime"
)

// hasMode reports whether path has exactly the permissions want. Windows keeps
// no such bits: there the user's profile directory is what protects the files.
func hasMode(path string, want fs.FileMode) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, readError(path, err)
	}
	return runtime.GOOS == "windows" || info.Mode().Perm() == want, nil
}
