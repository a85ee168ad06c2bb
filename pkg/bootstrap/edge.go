package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Edges is what the command line asks about the edge of a running gateway.
// *Manager is it.
type Edges interface {
	// ResetEdge stops everything of the edge and starts it again, with new keys
	// for the VPN, and returns when it serves.
	ResetEdge(ctx context.Context, name gateway.Name, sink Sink) error
	// ReloadEdge fetches a build and runs it; VPN and routes stay.
	ReloadEdge(ctx context.Context, name gateway.Name, opts ReloadOptions, sink Sink) (Reloaded, error)
	Routes(ctx context.Context, name gateway.Name) (Routes, error)
	VPN(ctx context.Context, name gateway.Name) (VPN, error)
	// VPNClient registers a client of the VPN and returns its package.
	VPNClient(ctx context.Context, name gateway.Name, opts ClientOptions) (ClientPackage, error)
}

// ReloadOptions say where a build comes from.
type ReloadOptions struct {
	Server string // HOST or HOST:PORT of the build server; empty: what the gateway assumes
	Key    []byte // public key by which builds are accepted from now on; empty: the one it has
}

// Reloaded is what a reload did.
type Reloaded struct {
	Changed bool   `json:"changed"` // else that build runs already
	Commit  string `json:"commit"`
	SHA256  string `json:"sha256"`
}

// Routes are the names under which nginx leads to services.
type Routes struct {
	Web    string  `json:"web,omitempty"` // URL of nginx on this host; empty: not published
	Routes []Route `json:"routes"`
}

// Route is one of them.
type Route struct {
	edgeapi.Route
	URL string `json:"url,omitempty"` // on this host; empty: not published
}

// VPN is the state of the VPN.
type VPN struct {
	edgeapi.VPN
	Published string `json:"published,omitempty"` // host address and port, udp; empty: not published
}

// Routes implements Edges.
func (m *Manager) Routes(ctx context.Context, name gateway.Name) (Routes, error) {
	c, err := m.runningContainer(ctx, name)
	if err != nil {
		return Routes{}, err
	}
	var routes []edgeapi.Route
	if err := m.control(ctx, name, c.ID, "routes", &routes); err != nil {
		return Routes{}, err
	}
	web, ok := published(c.Ports, httpContainerPort)
	out := Routes{Routes: make([]Route, 0, len(routes))}
	scheme := ""
	if ok {
		if scheme, err = m.webScheme(ctx, name, c.ID); err != nil {
			return Routes{}, stepError(ctx, err)
		}
		out.Web = scheme + "://" + web.String() + "/"
	}
	for _, r := range routes {
		route := Route{Route: r}
		if ok {
			route.URL = serviceURL(scheme, web, r.Host)
		}
		out.Routes = append(out.Routes, route)
	}
	return out, nil
}

// webScheme is what nginx speaks: it was told by the settings that the container
// booted with, which change with the container alone.
func (m *Manager) webScheme(ctx context.Context, name gateway.Name, container string) (string, error) {
	data, err := m.Engine.ReadFile(ctx, container, nodeapi.SettingsFile)
	if err != nil {
		return "", fmt.Errorf("settings of gateway %s: %w", name, err)
	}
	s, err := gateway.DecodeSettings(data)
	if err != nil {
		return "", fmt.Errorf("settings of gateway %s: %w", name, err)
	}
	return s.WebScheme(), nil
}

// serviceURL is where this host finds a service. A name below localhost always
// leads to the loopback; on another address there is the path.
func serviceURL(scheme string, web netip.AddrPort, host string) string {
	if web.Addr().IsLoopback() {
		return fmt.Sprintf("%s://%s.localhost:%d/", scheme, host, web.Port())
	}
	return fmt.Sprintf("%s://%s/%s/", scheme, web, host)
}

// published is where a port of the container is found on this host.
func published(ports []docker.Port, container int) (netip.AddrPort, bool) {
	for _, p := range ports {
		if p.Container != container {
			continue
		}
		addr, err := netip.ParseAddr(p.Bind)
		switch {
		case err != nil || addr == netip.IPv4Unspecified():
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case addr == netip.IPv6Unspecified():
			addr = netip.IPv6Loopback()
		}
		return netip.AddrPortFrom(addr, uint16(p.Host)), true
	}
	return netip.AddrPort{}, false
}

// VPN implements Edges.
func (m *Manager) VPN(ctx context.Context, name gateway.Name) (VPN, error) {
	c, err := m.runningContainer(ctx, name)
	if err != nil {
		return VPN{}, err
	}
	out := VPN{VPN: edgeapi.VPN{Clients: []edgeapi.VPNClient{}}}
	if err := m.control(ctx, name, c.ID, "vpn", &out.VPN); err != nil {
		return VPN{}, err
	}
	if at, ok := published(c.Ports, vpnContainerPort); ok {
		out.Published = at.String()
	}
	return out, nil
}

// control asks app-gateway, which has to run.
func (m *Manager) control(ctx context.Context, name gateway.Name, container, document string, into any) error {
	done, err := m.edgeRetried(ctx, name, container, edgeExec{argv: []string{appGateway, "control", document}})
	if err != nil {
		return err
	}
	if done.code != 0 {
		return edgeFailed(name, "app-gateway of gateway %s does not answer", name).Because(done.complaint())
	}
	if err := json.Unmarshal(done.out, into); err != nil {
		return stepError(ctx, fmt.Errorf("%s of gateway %s: %w", document, name, err))
	}
	return nil
}

// edgeFailed is an error of the edge, with what helps.
func edgeFailed(name gateway.Name, format string, args ...any) *fault.Error {
	return fault.New(fault.EdgeFailed, fault.ExitFailure, format, args...).
		Hint("see how it is: `openshell gateway status %s`", name).
		Hint("bring it back: `openshell gateway start %s`", name)
}
