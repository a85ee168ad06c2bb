package server

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/translate"
)

// ExposeSandboxPort makes a route to a port of a sandbox, whether or not
// something listens there. A route that is there already is answered as it is;
// a name that leads elsewhere is ALREADY_EXISTS.
func (a *api) ExposeSandboxPort(ctx context.Context, request *openshellv1.ExposeSandboxPortRequest) (*openshellv1.ExposeSandboxPortResponse, error) {
	if err := translate.CheckExpose(request); err != nil {
		return nil, err
	}
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.byName(ctx, c, request.GetName())
	if err != nil {
		return nil, err
	}
	if s.DeletionTimestamp != nil {
		return nil, notNow("sandbox %s is being deleted", s.Name)
	}
	hosts := []string{request.GetHost()}
	if hosts[0] == "" {
		hosts = translate.Hosts(s.Name, request.GetPort())
	}
	have, err := a.routes(ctx, c, client.MatchingLabels{sandboxapi.LabelID: s.Spec.ID})
	if err != nil {
		return nil, err
	}
	for i, r := range have {
		if slices.Contains(hosts, r.Name) && leadsTo(&r, s, request.GetPort()) {
			return &openshellv1.ExposeSandboxPortResponse{Route: translate.Route(&have[i])}, nil
		}
	}
	for _, host := range hosts {
		var response *openshellv1.ExposeSandboxPortResponse
		if response, err = a.expose(ctx, c, sandbox.NewRoute(s, host, int32(request.GetPort()))); err == nil {
			return response, nil
		}
		if status.Code(err) != codes.AlreadyExists {
			break
		}
	}
	return nil, err
}

// expose makes one route, unless its name is taken.
func (a *api) expose(ctx context.Context, c client.Client, r *v1.Route) (*openshellv1.ExposeSandboxPortResponse, error) {
	err := c.Create(ctx, r)
	if err == nil {
		a.log.Info("port exposed", "host", r.Name, "sandbox", r.Spec.Sandbox, "id", r.Spec.SandboxID, "port", r.Spec.Port)
		return &openshellv1.ExposeSandboxPortResponse{Route: translate.Route(r), Created: true}, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	var old v1.Route
	err = c.Get(ctx, client.ObjectKeyFromObject(r), &old)
	switch {
	case absent(err):
		return nil, status.Errorf(codes.Aborted, "the name %s was just given up; try again", r.Name)
	case err != nil:
		return nil, err
	case old.Spec == r.Spec: // another client was as fast
		return &openshellv1.ExposeSandboxPortResponse{Route: translate.Route(&old)}, nil
	}
	return nil, status.Errorf(codes.AlreadyExists, "the name %s belongs to port %d of sandbox %s", r.Name, old.Spec.Port, old.Spec.Sandbox)
}

// UnexposeSandboxPort removes the routes of a sandbox that have the port and
// the name, as far as the request says. None is NOT_FOUND, unless all were
// asked for.
func (a *api) UnexposeSandboxPort(ctx context.Context, request *openshellv1.UnexposeSandboxPortRequest) (*openshellv1.UnexposeSandboxPortResponse, error) {
	if err := translate.CheckUnexpose(request); err != nil {
		return nil, err
	}
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.byName(ctx, c, request.GetName())
	if err != nil {
		return nil, err
	}
	have, err := a.routes(ctx, c, client.MatchingLabels{sandboxapi.LabelID: s.Spec.ID})
	if err != nil {
		return nil, err
	}
	response := &openshellv1.UnexposeSandboxPortResponse{}
	host, port := request.GetHost(), request.GetPort()
	for i := range have {
		r := &have[i]
		if host != "" && host != r.Name || port != 0 && !leadsTo(r, s, port) {
			continue
		}
		if err := c.Delete(ctx, r, client.Preconditions{UID: &r.UID}); err != nil && !absent(err) {
			return nil, err
		}
		a.log.Info("port unexposed", "host", r.Name, "sandbox", s.Name, "id", s.Spec.ID, "port", r.Spec.Port)
		response.Removed = append(response.Removed, translate.Route(r))
	}
	switch {
	case len(response.Removed) > 0 || host == "" && port == 0:
		return response, nil
	case port == 0:
		return nil, notFound("sandbox %s is not exposed as %s", s.Name, host)
	case host == "":
		return nil, notFound("port %d of sandbox %s is not exposed", port, s.Name)
	}
	return nil, notFound("port %d of sandbox %s is not exposed as %s", port, s.Name, host)
}

// ListRoutes answers all routes, or those of one sandbox.
func (a *api) ListRoutes(ctx context.Context, request *openshellv1.ListRoutesRequest) (*openshellv1.ListRoutesResponse, error) {
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	var of client.MatchingLabels
	if name := request.GetSandbox(); name != "" {
		s, err := a.byName(ctx, c, name)
		if err != nil {
			return nil, err
		}
		of = client.MatchingLabels{sandboxapi.LabelID: s.Spec.ID}
	}
	have, err := a.routes(ctx, c, of)
	if err != nil {
		return nil, err
	}
	response := &openshellv1.ListRoutesResponse{}
	for i := range have {
		response.Routes = append(response.Routes, translate.Route(&have[i]))
	}
	return response, nil
}

// routes are those with the labels, in the order of hosts.
func (a *api) routes(ctx context.Context, c client.Client, of client.MatchingLabels) ([]v1.Route, error) {
	var list v1.RouteList
	if err := c.List(ctx, &list, client.InNamespace(a.namespace), of); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b v1.Route) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// leadsTo reports whether a route is one to that port of the sandbox.
func leadsTo(r *v1.Route, s *v1.Sandbox, port uint32) bool {
	return r.Spec.SandboxID == s.Spec.ID && r.Spec.Port == int32(port)
}
