//go:build linux

package proc

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// resolve finds what Argv[0] means, with the eyes of the sandbox user: this
// process, root without capabilities, cannot look into the user's directories.
func (t *Table) resolve(s Spec) (path string, err error) {
	t.asUser(func() {
		if err = enterable(s.Dir); err != nil {
			err = &StartError{exitNotExecutable, s.Dir + ": " + reason(err)}
			return
		}
		path, err = lookUp(s)
	})
	return path, err
}

func lookUp(s Spec) (string, error) {
	name := s.Argv[0]
	switch {
	case s.Path != "":
		return s.Path, nil
	case strings.Contains(name, "/"):
		return name, nil // relative to Dir, as execve has it
	}
	denied := false
	for _, dir := range filepath.SplitList(pathOf(s.Env)) {
		if dir == "" {
			dir = "."
		}
		candidate := dir + "/" + name
		from := candidate
		if !filepath.IsAbs(from) {
			from = filepath.Join(s.Dir, from)
		}
		var st unix.Stat_t
		if unix.Stat(from, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if unix.Faccessat(unix.AT_FDCWD, from, unix.X_OK, unix.AT_EACCESS) == nil {
			return candidate, nil
		}
		denied = true
	}
	if denied {
		return "", &StartError{exitNotExecutable, name + ": permission denied"}
	}
	return "", &StartError{exitNotFound, name + ": command not found"}
}

func pathOf(env []string) string {
	for _, e := range slices.Backward(env) {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			return path
		}
	}
	return ""
}

func enterable(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS)
}

func reason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no such directory"
	}
	return err.Error()
}

// asUser calls f with the file system rights of the sandbox user. They are a
// matter of the thread, which ends with f and never runs anything else.
func (t *Table) asUser(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		// They never fail; that the lookup is only a lookup makes it no matter.
		unix.Setfsgid(int(t.GID)) //nolint:errcheck // see above
		unix.Setfsuid(int(t.UID)) //nolint:errcheck // see above
		f()
	}()
	<-done
}
