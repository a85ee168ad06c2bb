package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"openshell.ai/openshell/pkg/edge/containers"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// ClientOptions say for whom a package for the VPN is.
type ClientOptions struct {
	Client  string
	Remotes []string // hosts where the client reaches the gateway; empty: where this host does
	Port    int      // there; 0: the published one
	Renew   bool     // a registered client gets another package, and the former ones are refused
}

// ClientPackage is what a client joins the VPN with. It is secret.
type ClientPackage struct {
	JSON    []byte
	Remote  string // HOST:PORT of the first
	Inside  bool   // it only reaches the gateway from containers of its network
	Network string // of the gateway
}

// VPNClient implements Edges.
func (m *Manager) VPNClient(ctx context.Context, name gateway.Name, opts ClientOptions) (ClientPackage, error) {
	if err := containers.CheckName(opts.Client); err != nil {
		return ClientPackage{}, fault.New(fault.BadName, fault.ExitUsage, "%s", err)
	}
	c, err := m.runningContainer(ctx, name)
	if err != nil {
		return ClientPackage{}, err
	}
	known, err := m.clients(ctx, name, c.ID)
	if err != nil {
		return ClientPackage{}, err
	}
	verb := "add"
	if slices.Contains(known, opts.Client) {
		if !opts.Renew {
			return ClientPackage{}, fault.New(fault.ClientExists, fault.ExitConflict, "gateway %s has a VPN client %s already, and does not know its token any more", name, opts.Client).
				Hint("give it another package, and refuse the former: `openshell gateway vpn client-config %s --renew --name %s`", opts.Client, name)
		}
		verb = "config"
	}
	remotes, port, out := opts.Remotes, opts.Port, ClientPackage{Network: name.Resource()}
	at, ok := published(c.Ports, vpnContainerPort)
	switch {
	case ok:
		if len(remotes) == 0 {
			remotes = []string{at.Addr().String()}
		}
		if port == 0 {
			port = int(at.Port())
		}
	default:
		out.Inside = len(remotes) == 0
		if len(remotes) == 0 {
			remotes = []string{c.Hostname}
		}
		if port == 0 {
			port = nodeapi.VPNPort
		}
	}
	argv := []string{appGateway, "vpn", "client", verb, opts.Client, "--port", strconv.Itoa(port)}
	for _, remote := range remotes {
		argv = append(argv, "--remote", remote)
	}
	done, err := m.edgeRetried(ctx, name, c.ID, edgeExec{argv: argv})
	if err != nil {
		return ClientPackage{}, err
	}
	if done.code != 0 {
		return ClientPackage{}, edgeFailed(name, "gateway %s gave VPN client %s no package", name, opts.Client).Because(done.complaint())
	}
	if !json.Valid(done.out) { // it is secret, so that nothing of it is shown
		return ClientPackage{}, edgeFailed(name, "gateway %s gave VPN client %s a package that is no JSON", name, opts.Client)
	}
	out.JSON, out.Remote = done.out, fmt.Sprintf("%s:%d", remotes[0], port)
	return out, nil
}

// clients are the names of those that are registered.
func (m *Manager) clients(ctx context.Context, name gateway.Name, container string) ([]string, error) {
	done, err := m.edgeRetried(ctx, name, container, edgeExec{argv: []string{appGateway, "vpn", "client", "list"}})
	if err != nil {
		return nil, err
	}
	if done.code != 0 {
		return nil, edgeFailed(name, "gateway %s cannot list the clients of its VPN", name).Because(done.complaint())
	}
	var list []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(done.out, &list); err != nil {
		return nil, stepError(ctx, fmt.Errorf("clients of gateway %s: %w", name, err))
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Name
	}
	return names, nil
}
