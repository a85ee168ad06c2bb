package app

import (
	"errors"
	"net/http"
	"net/netip"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/routes"
)

// ErrUnauthorized is what Containers answers for a token that does not count.
var ErrUnauthorized = errors.New("unknown container or wrong token")

// Containers knows user containers.
type Containers interface {
	// Verify answers the container that a token is for, or ErrUnauthorized.
	Verify(id, token string) (routes.Container, error)
	List() ([]routes.Container, error)
}

// VPN knows the tunnel.
type VPN interface {
	Status() (edgeapi.VPN, error)
	// ClientConfig answers what a container needs to join.
	ClientConfig(id, token string) (any, error)
}

// event takes what a user container reports. Its token says who it is, and its
// address that it is in the VPN: a token alone routes nothing.
func (a *App) event(r *http.Request) (any, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	var event edgeapi.Event
	if err := readBody(r, &event); err != nil {
		return nil, err
	}
	if err := checkEvent(event); err != nil {
		return nil, err
	}
	container, err := a.verify(event.Container, token)
	if err != nil {
		return nil, err
	}
	if source, err := sourceOf(r); err != nil || source != container.Address {
		return nil, refused(http.StatusForbidden, "events are taken from the container's address in the VPN only")
	}
	own, err := a.take(event, container)
	if errors.Is(err, routes.ErrRemoved) {
		// It may also have come since the registry was last read.
		a.readContainers()
		own, err = a.take(event, container)
	}
	switch {
	case errors.Is(err, routes.ErrRemoved):
		return nil, refused(http.StatusUnauthorized, "%v", ErrUnauthorized)
	case err != nil:
		return nil, refused(http.StatusBadRequest, "%v", err)
	}
	return edgeapi.EventAnswer{Status: "ok", Routes: own}, nil
}

func (a *App) take(event edgeapi.Event, container routes.Container) ([]edgeapi.Route, error) {
	if event.Type == edgeapi.EventWatchdog {
		return a.table.Beat(container)
	}
	return a.table.Map(container, event.Host, event.Port)
}

func checkEvent(event edgeapi.Event) error {
	if event.Container == "" {
		return refused(http.StatusBadRequest, "container is empty, want the container's id")
	}
	switch event.Type {
	case edgeapi.EventWatchdog:
	case edgeapi.EventMapHTTPService:
		if err := edge.CheckHost(event.Host); err != nil {
			return refused(http.StatusBadRequest, "host: %v", err)
		}
		if event.Port == 0 {
			return refused(http.StatusBadRequest, "port is 0, want 1 to 65535")
		}
	default:
		return refused(http.StatusBadRequest, "type is %.40q, want %q or %q", event.Type, edgeapi.EventWatchdog, edgeapi.EventMapHTTPService)
	}
	return nil
}

func (a *App) verify(id, token string) (routes.Container, error) {
	container, err := a.parts.Containers.Verify(id, token)
	if errors.Is(err, ErrUnauthorized) {
		return routes.Container{}, refused(http.StatusUnauthorized, "%v", ErrUnauthorized)
	}
	return container, err
}

// sourceOf is where nginx had the request from.
func sourceOf(r *http.Request) (netip.Addr, error) {
	values := r.Header.Values("X-Real-IP")
	if len(values) != 1 {
		return netip.Addr{}, errors.New("the header X-Real-IP is there not once")
	}
	source, err := netip.ParseAddr(values[0])
	return source.Unmap(), err
}

// vpnConfig answers what a container needs to join, beside the places where the VPN
// is. It asks before it is in the VPN, so its address says nothing.
func (a *App) vpnConfig(r *http.Request) (any, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	id := r.URL.Query().Get("container")
	if id == "" {
		return nil, refused(http.StatusBadRequest, "container is empty: ask for %s?container=ID", edgeapi.VPNConfigPath)
	}
	if _, err := a.verify(id, token); err != nil {
		return nil, err
	}
	return a.parts.VPN.ClientConfig(id, token)
}
