package hostconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"openshell.ai/openshell/pkg/gateway"
)

var sandboxID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// WriteKnownHost keeps the SSH host key of a sandbox, in the form of
// authorized_keys, as a file of known hosts that knows it by alias, and returns
// the file's path. Every sandbox has a file of its own, which needs no lock.
func (s *Store) WriteKnownHost(name gateway.Name, id, alias, hostKey string) (path string, err error) {
	if path, err = s.knownHost(name, id); err != nil {
		return "", err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	return path, s.writeFile(path, []byte(alias+" "+strings.TrimSpace(hostKey)+"\n"))
}

// RemoveKnownHost forgets the host key of a sandbox that is gone.
func (s *Store) RemoveKnownHost(name gateway.Name, id string) error {
	path, err := s.knownHost(name, id)
	if err != nil {
		return err
	}
	if err := s.commit(path, func() error { return os.Remove(path) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	return nil
}

func (s *Store) knownHost(name gateway.Name, id string) (path string, err error) {
	if !sandboxID.MatchString(id) {
		return "", fmt.Errorf("sandbox id %q", id)
	}
	return filepath.Join(s.GatewayDir(name), sshDir, id+".known_hosts"), nil
}

// ForwardsDir is the directory of what runs port forwards to the gateway's
// sandboxes. It is made if it is not there.
func (s *Store) ForwardsDir(name gateway.Name) (string, error) {
	dir := filepath.Join(s.GatewayDir(name), forwardsDir)
	return dir, makeDir(dir)
}
