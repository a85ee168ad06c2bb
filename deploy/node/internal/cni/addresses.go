package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// noted is what is written down of a sandbox's pod.
type noted struct {
	Pod     string     `json:"pod"` // its name
	Address netip.Addr `json:"address"`
}

// note writes down the address of a sandbox's pod.
func (p Plugin) note(env Environment, result []byte) error {
	file, err := fileOf(p.SandboxDir, env.Container)
	if err != nil {
		return err
	}
	address, err := addressIn(result)
	if err != nil {
		return err
	}
	data, err := json.Marshal(noted{argument(env.Args, "K8S_POD_NAME"), address})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.SandboxDir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// forget ends what note began; of other pods there is nothing to forget.
func (p Plugin) forget(env Environment) error {
	file, err := fileOf(p.SandboxDir, env.Container)
	if err != nil {
		return err
	}
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Addresses are those of the sandboxes' pods by their names, from the directory
// where the plugin writes them down. A file that is just being written is left
// out; the newest is right for a pod that got another network.
func Addresses(dir string) (map[string]netip.Addr, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("addresses of sandboxes: %w", err)
	}
	addresses := make(map[string]netip.Addr, len(entries))
	newest := map[string]time.Time{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // gone in between
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		var n noted
		if err != nil || json.Unmarshal(data, &n) != nil || n.Pod == "" || !n.Address.IsValid() {
			continue
		}
		if at := info.ModTime(); !at.Before(newest[n.Pod]) {
			addresses[n.Pod], newest[n.Pod] = n.Address, at
		}
	}
	return addresses, nil
}
