//go:build !windows

package gatewaytest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
)

// ExposeSandboxPort names a port by its sandbox, if no other name is asked for.
func (g *Gateway) ExposeSandboxPort(_ context.Context, r *openshellv1.ExposeSandboxPortRequest) (*openshellv1.ExposeSandboxPortResponse, error) {
	s := g.Sandbox(r.GetName())
	if s == nil {
		return nil, absent(r.GetName())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	host := cmp.Or(r.GetHost(), r.GetName())
	if old := g.routes[host]; old != nil {
		if old.GetSandboxId() == s.id && old.GetPort() == r.GetPort() {
			return &openshellv1.ExposeSandboxPortResponse{Route: old}, nil
		}
		return nil, status.Errorf(codes.AlreadyExists, "the name %s belongs to port %d of sandbox %s", host, old.GetPort(), old.GetSandbox())
	}
	made := &openshellv1.Route{
		Host: host, Sandbox: r.GetName(), SandboxId: s.id, Port: r.GetPort(), CreatedAtMs: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).UnixMilli(),
	}
	g.routes[host] = made
	return &openshellv1.ExposeSandboxPortResponse{Route: made, Created: true}, nil
}

func (g *Gateway) UnexposeSandboxPort(_ context.Context, r *openshellv1.UnexposeSandboxPortRequest) (*openshellv1.UnexposeSandboxPortResponse, error) {
	answer := &openshellv1.UnexposeSandboxPortResponse{}
	for _, route := range g.routesOf(r.GetName()) {
		if (r.GetHost() == "" || r.GetHost() == route.GetHost()) && (r.GetPort() == 0 || r.GetPort() == route.GetPort()) {
			answer.Removed = append(answer.Removed, route)
		}
	}
	if len(answer.Removed) == 0 && (r.GetHost() != "" || r.GetPort() != 0) {
		return nil, status.Errorf(codes.NotFound, "port %d of sandbox %s is not exposed", r.GetPort(), r.GetName())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, route := range answer.Removed {
		delete(g.routes, route.GetHost())
	}
	return answer, nil
}

func (g *Gateway) ListRoutes(_ context.Context, r *openshellv1.ListRoutesRequest) (*openshellv1.ListRoutesResponse, error) {
	return &openshellv1.ListRoutesResponse{Routes: g.routesOf(r.GetSandbox())}, nil
}

// routesOf are those to a sandbox, or all, in the order of hosts.
func (g *Gateway) routesOf(name string) []*openshellv1.Route {
	g.mu.Lock()
	defer g.mu.Unlock()
	var routes []*openshellv1.Route
	for _, route := range g.routes {
		if name == "" || name == route.GetSandbox() {
			routes = append(routes, route)
		}
	}
	slices.SortFunc(routes, func(a, b *openshellv1.Route) int { return strings.Compare(a.GetHost(), b.GetHost()) })
	return routes
}

// SetHTTPPort is where WriteFiles says that the web server answers; 0: nowhere.
func (g *Gateway) SetHTTPPort(port int) { g.httpPort = port }
