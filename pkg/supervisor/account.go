//go:build linux

package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// account is the sandbox user as programs see it.
type account struct{ Name, Shell string }

// ensureAccount returns the image's entry for the sandbox user, or adds one. The
// account is usable with an error too: an image may be read-only.
func ensureAccount(cfg Config) (account, error) {
	a := account{Name: sandboxapi.User, Shell: findShell()}
	if err := os.MkdirAll(cfg.Etc, 0o755); err != nil {
		return a, err
	}
	uid, gid := strconv.Itoa(sandboxapi.UID), strconv.Itoa(sandboxapi.GID)
	entry, err := ensureEntry(filepath.Join(cfg.Etc, "passwd"), uid, func(name string) string {
		return strings.Join([]string{name, "x", uid, gid, "", cfg.Workspace, a.Shell}, ":")
	})
	if err != nil {
		return a, err
	}
	a.Name = entry[0]
	if shell := entry[len(entry)-1]; len(entry) == 7 && usableShell(shell) {
		a.Shell = shell
	}
	_, err = ensureEntry(filepath.Join(cfg.Etc, "group"), gid, func(name string) string {
		return strings.Join([]string{name, "x", gid, ""}, ":")
	})
	return a, err
}

// ensureEntry returns the fields of the entry with a number in passwd or group,
// after appending one if there is none. The file keeps what it has: it may be
// mounted, and somebody may have it open.
func ensureEntry(path, number string, entry func(name string) string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	name := sandboxapi.User
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(fields) >= 3 && fields[2] == number && fields[0] != "" {
			return fields, nil
		}
		if fields[0] == sandboxapi.User {
			name = "openshell-" + sandboxapi.User // somebody else has ours
		}
	}
	line := entry(name)
	text := line + "\n"
	if len(content) > 0 && content[len(content)-1] != '\n' {
		text = "\n" + text
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("add entry: %w", err)
	}
	return strings.Split(line, ":"), nil
}

func findShell() string {
	for _, path := range []string{"/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"} {
		if usableShell(path) {
			return path
		}
	}
	return "/bin/sh"
}

func usableShell(path string) bool {
	switch filepath.Base(path) {
	case "nologin", "false", "true", "sync":
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o001 != 0
}
