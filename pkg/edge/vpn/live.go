package vpn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge/containers"
)

const maxClientFile = 4 << 10

// Client is a container that is connected.
type Client struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Address netip.Addr     `json:"address"` // in the VPN
	Remote  netip.AddrPort `json:"remote"`  // where it comes from
	Since   time.Time      `json:"since"`
}

// Live is the directory that has a file for each connected client.
type Live struct{ dir string }

// LiveIn names the live clients of a run directory.
func LiveIn(runDir string) Live { return Live{place(runDir, "clients")} }

// List answers the connected clients. A file that makes no sense, or goes
// meanwhile, is no client.
func (l Live) List() (map[string]Client, error) {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]Client{}, nil
	}
	if err != nil {
		return nil, err
	}
	clients := make(map[string]Client, len(entries))
	for _, e := range entries {
		id, isClient := strings.CutSuffix(e.Name(), ".json")
		if !isClient || containers.CheckID(id) != nil {
			continue
		}
		if c, err := l.get(id); err == nil {
			clients[id] = c
		}
	}
	return clients, nil
}

func (l Live) path(id string) string { return filepath.Join(l.dir, id+".json") }

func (l Live) get(id string) (Client, error) {
	data, err := os.ReadFile(l.path(id))
	if err != nil {
		return Client{}, err
	}
	return decodeClient(id, data)
}

func decodeClient(id string, data []byte) (Client, error) {
	var c Client
	if len(data) > maxClientFile {
		return Client{}, fmt.Errorf("file of client %s has %d bytes", id, len(data))
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return Client{}, err
	}
	if c.ID != id || !c.Address.IsValid() {
		return Client{}, fmt.Errorf("file of client %s is another's or has no address", id)
	}
	return c, nil
}

// put replaces the client's file. It is gone with the container: no need to
// wait for a disk.
func (l Live) put(c Client) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	return durable.Replace(l.path(c.ID), append(data, '\n'), 0o600)
}

// drop removes the file of a client that came from there.
func (l Live) drop(id string, remote netip.AddrPort) error {
	c, err := l.get(id)
	if errors.Is(err, fs.ErrNotExist) || err == nil && c.Remote != remote {
		return nil
	}
	if err := os.Remove(l.path(id)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// peer is a client as OpenVPN describes it in the environment of its hooks.
type peer struct {
	id     string
	remote netip.AddrPort
	since  time.Time
}

func peerOf(env Environment) (peer, error) {
	id := env("common_name") // the user name, by username-as-common-name
	if err := containers.CheckID(id); err != nil {
		return peer{}, fmt.Errorf("common_name: %w", err)
	}
	ip := env("trusted_ip")
	if ip == "" {
		ip = env("trusted_ip6")
	}
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return peer{}, fmt.Errorf("trusted_ip: %w", err)
	}
	port, err := strconv.ParseUint(env("trusted_port"), 10, 16)
	if err != nil {
		return peer{}, fmt.Errorf("trusted_port: %w", err)
	}
	seconds, err := strconv.ParseInt(env("time_unix"), 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return peer{}, fmt.Errorf("time_unix is %.40q; accepted are seconds since 1970", env("time_unix"))
	}
	return peer{id, netip.AddrPortFrom(address.Unmap(), uint16(port)), time.Unix(seconds, 0).UTC()}, nil
}
