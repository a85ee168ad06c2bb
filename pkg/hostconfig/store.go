// Package hostconfig keeps the files of the host side: which gateway is
// selected, and for every gateway its metadata, its mTLS bundle, its lock and
// the log of its last failure. All of it is a cache of what the volume knows,
// but for the selection.
package hostconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600

	activeFile   = "active_gateway"
	gatewaysDir  = "gateways"
	locksDir     = "locks"
	metadataFile = "metadata.json"
	bundleDir    = "mtls"
	failureFile  = "last-failure.log"
	sshDir       = "ssh"
	forwardsDir  = "forwards"
)

// Store is the configuration directory. Its zero value is not usable; see New.
// Readers need no lock. Writers of one gateway's files hold its Lock.
type Store struct {
	// Commit makes one change visible: the rename that ends a writing, or a
	// removal. path is what it is about. nil: the change is made.
	Commit func(path string, change func() error) error

	root    string
	command string // what the lock file says its holder runs
}

func (s *Store) commit(path string, change func() error) error {
	if s.Commit == nil {
		return change()
	}
	return s.Commit(path, change)
}

// New returns the store in the directory root, which need not exist. Nothing
// is read or written yet.
func New(root string) *Store {
	return &Store{root: root, command: commandLine(os.Args)}
}

// DefaultRoot is $XDG_CONFIG_HOME/openshell, or ~/.config/openshell, on every
// operating system.
func DefaultRoot() (string, error) {
	if base := os.Getenv("XDG_CONFIG_HOME"); base != "" {
		if !filepath.IsAbs(base) {
			return "", fault.New(fault.BadValue, fault.ExitUsage, "XDG_CONFIG_HOME is %q, not an absolute path", base)
		}
		return filepath.Join(base, "openshell"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.New(fault.HostFiles, fault.ExitFailure, "the home directory is not known").
			Hint("set XDG_CONFIG_HOME to an absolute path").Because(err)
	}
	return filepath.Join(home, ".config", "openshell"), nil
}

// Root is the directory of the store.
func (s *Store) Root() string { return s.root }

// GatewayDir is the directory of one gateway's files.
func (s *Store) GatewayDir(name gateway.Name) string {
	return filepath.Join(s.root, gatewaysDir, dirName(name))
}

// Names are the gateways with metadata or a bundle, sorted. A directory with
// nothing but the log of a failure is no gateway.
func (s *Store) Names() ([]gateway.Name, error) {
	dir := filepath.Join(s.root, gatewaysDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(dir, err)
	}
	var names []gateway.Name
	for _, entry := range entries {
		name, ok := nameOfDir(entry.Name())
		if !ok || !entry.IsDir() {
			continue
		}
		known, err := holdsAny(filepath.Join(dir, entry.Name()), metadataFile, bundleDir)
		if err != nil {
			return nil, err
		}
		if known {
			names = append(names, name)
		}
	}
	sort.Slice(names, func(i, j int) bool { return names[i] < names[j] })
	return names, nil
}

// Remove deletes the gateway's files, whatever is there. The lock stays.
func (s *Store) Remove(name gateway.Name) error {
	dir := s.GatewayDir(name)
	// Renamed first, so that an interruption leaves all of it or nothing.
	doomed := filepath.Join(filepath.Dir(dir), ".removed-"+filepath.Base(dir))
	if err := os.RemoveAll(doomed); err != nil {
		return unwritable(doomed, err)
	}
	err := s.commit(dir, func() error { return os.Rename(dir, doomed) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unwritable(dir, err)
	}
	if err := os.RemoveAll(doomed); err != nil {
		return unwritable(doomed, err)
	}
	return nil
}

// SaveFailure keeps content as the log of the gateway's last failure and
// returns the file's path.
func (s *Store) SaveFailure(name gateway.Name, content []byte) (path string, err error) {
	dir := s.GatewayDir(name)
	if err := makeDir(dir); err != nil {
		return "", err
	}
	path = filepath.Join(dir, failureFile)
	return path, s.writeFile(path, content)
}

// LastFailure is the log of the gateway's last failure. When there is none the
// error is fs.ErrNotExist.
func (s *Store) LastFailure(name gateway.Name) ([]byte, error) {
	return readFile(filepath.Join(s.GatewayDir(name), failureFile))
}

func holdsAny(dir string, names ...string) (bool, error) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		_, err := os.Lstat(path)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, unreadable(path, err)
		}
	}
	return false, nil
}

func unreadable(path string, err error) error {
	return fault.New(fault.HostFiles, fault.ExitFailure, "%s cannot be read", path).
		Hint("check who owns it and its mode, then run the command again").Because(err)
}

func unwritable(path string, err error) error {
	return fault.New(fault.HostFiles, fault.ExitFailure, "%s cannot be written", path).
		Hint("check who owns it, its mode and the free space, then run the command again").Because(err)
}

func damaged(path, repair string, err error) error {
	return fault.New(fault.HostFiles, fault.ExitFailure, "%s is damaged", path).
		Hint("%s", repair).Because(fmt.Errorf("%s: %w", filepath.Base(path), err))
}
