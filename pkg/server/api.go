package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/version"
)

// api implements openshell.v1.OpenShell. Methods it does not define answer
// UNIMPLEMENTED.
type api struct {
	openshellv1.UnimplementedOpenShellServer
}

// Health answers HEALTHY: a server that can answer at all works.
func (api) Health(context.Context, *openshellv1.HealthRequest) (*openshellv1.HealthResponse, error) {
	return &openshellv1.HealthResponse{
		Status:  openshellv1.ServiceStatus_SERVICE_STATUS_HEALTHY,
		Version: version.Version,
	}, nil
}

// newGRPC is the gRPC side of the gateway port: the API, the standard health
// service and reflection.
func newGRPC() (*grpc.Server, *health.Server) {
	s := grpc.NewServer()
	openshellv1.RegisterOpenShellServer(s, api{})
	h := health.NewServer()
	h.SetServingStatus(openshellv1.OpenShell_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, h)
	reflection.Register(s)
	return s, h
}
