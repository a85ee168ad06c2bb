// Package vpn is the gateway's side of OpenVPN: what OpenVPN asks about its
// clients, which of them are connected, and in which state it is.
package vpn

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"openshell.ai/openshell/pkg/edge/containers"
)

const (
	netmask        = "255.255.0.0"
	maxCredentials = 1 << 10
)

// Hooks is what OpenVPN calls when a client comes and goes.
type Hooks struct {
	Registry containers.Registry
	Live     Live
}

// Environment looks up what OpenVPN tells its hooks, like os.Getenv.
type Environment func(name string) string

// Auth decides whether the user name and password in a file of OpenVPN are a
// container's id and token.
func (h Hooks) Auth(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	id, token, err := readCredentials(f)
	if err != nil {
		return err
	}
	if err := containers.CheckID(id); err != nil {
		return err
	}
	if _, err := h.Registry.Verify(id, token); err != nil {
		return fmt.Errorf("container %s: %w", id, err)
	}
	return nil
}

// readCredentials reads two lines: a user name and a password.
func readCredentials(r io.Reader) (user, password string, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxCredentials))
	var values []string
	for lines.Scan() {
		values = append(values, strings.TrimSuffix(lines.Text(), "\r"))
	}
	if err := lines.Err(); err != nil {
		return "", "", err
	}
	if len(values) != 2 || values[0] == "" || values[1] == "" {
		return "", "", errors.New("credentials are not two lines: a user name and a password")
	}
	return values[0], values[1], nil
}

// Connect writes the client's address into the file that OpenVPN gives, and
// remembers that the client is there.
func (h Hooks) Connect(file string, env Environment) error {
	peer, err := peerOf(env)
	if err != nil {
		return err
	}
	c, err := h.Registry.Get(peer.id)
	if err != nil {
		return err
	}
	if c.ID != peer.id { // a name is no identity here
		return containers.ErrNotFound
	}
	push := fmt.Sprintf("ifconfig-push %s %s\n", c.Address, netmask)
	if err := os.WriteFile(file, []byte(push), 0o600); err != nil {
		return err
	}
	return h.Live.put(Client{ID: c.ID, Name: c.Name, Address: c.Address, Remote: peer.remote, Since: peer.since})
}

// Disconnect forgets a client, unless it has connected anew since.
func (h Hooks) Disconnect(env Environment) error {
	peer, err := peerOf(env)
	if err != nil {
		return err
	}
	return h.Live.drop(peer.id, peer.remote)
}

// HooksOf are the hooks of a gateway with its directories.
func HooksOf(stateDir, runDir string) Hooks {
	return Hooks{containers.Open(stateDir), LiveIn(runDir)}
}

// place is where the files of the VPN are in a run directory.
func place(runDir string, name ...string) string {
	return filepath.Join(append([]string{runDir, "vpn"}, name...)...)
}
