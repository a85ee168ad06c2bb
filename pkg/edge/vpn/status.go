package vpn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/containers"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/process"
)

const device = "tun0"

// Server is where start-vpn.sh put the server that it started.
type Server struct {
	TempDir string `json:"temp_dir"`
	Port    uint16 `json:"port"`
}

// ServerIn answers the server that was started last in a run directory, or
// fs.ErrNotExist.
func ServerIn(runDir string) (Server, error) {
	path := place(runDir, "server.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return Server{}, err
	}
	var s Server
	if err := json.Unmarshal(data, &s); err != nil {
		return Server{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Port == 0 || !filepath.IsAbs(s.TempDir) {
		return Server{}, fmt.Errorf("%s: port or directory is missing", path)
	}
	return s, nil
}

// Status answers the state of the VPN with every registered container,
// connected or not.
func Status(runDir string, registry containers.Registry) (edgeapi.VPN, error) {
	answer := edgeapi.VPN{State: edgeapi.VPNDown, Clients: []edgeapi.VPNClient{}}
	server, err := ServerIn(runDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return answer, err
	default:
		answer.Port = server.Port
		if process.Running(filepath.Join(runDir, "openvpn.pid")) && tunnelUp() {
			answer.State = edgeapi.VPNUp
		}
	}
	registered, err := registry.List()
	if err != nil {
		return answer, err
	}
	live := map[string]Client{}
	if answer.State == edgeapi.VPNUp {
		if live, err = LiveIn(runDir).List(); err != nil {
			return answer, err
		}
	}
	for _, c := range registered {
		client := edgeapi.VPNClient{ID: c.ID, Name: c.Name, Kind: c.Kind, Address: c.Address}
		for _, s := range c.Services {
			client.Services = append(client.Services, edgeapi.VPNService{Host: s.Host, Port: s.Port})
		}
		if l, connected := live[c.ID]; connected && l.Address == c.Address {
			client.Connected, client.Since = true, l.Since
		}
		answer.Clients = append(answer.Clients, client)
	}
	return answer, nil
}

// tunnelUp reports whether the tunnel has the gateway's address.
func tunnelUp() bool {
	tunnel, err := net.InterfaceByName(device)
	if err != nil {
		return false
	}
	addresses, err := tunnel.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if ip, _, _ := net.ParseCIDR(a.String()); ip.String() == edge.VPNGateway {
			return true
		}
	}
	return false
}
