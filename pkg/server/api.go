package server

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/server/session"
	"openshell.ai/openshell/pkg/version"
)

// maxMessage bounds a request: the input of an exec, or an environment.
const maxMessage = 8 << 20

// api implements openshell.v1.OpenShell.
type api struct {
	openshellv1.UnimplementedOpenShellServer

	backend   *backend
	sessions  *session.Store
	tunnels   tunnels
	connected connected
	namespace string // of the sandboxes
	image     string // of sandboxes that name none; may be empty
	gateway   gatewayAddress
	log       *slog.Logger
}

// tunnels are open connections to sandboxes.
type tunnels interface {
	EndSession(name string)
	EndSandbox(id string)
}

// Health answers HEALTHY, or DEGRADED while sandboxes cannot be controlled: a
// server that can answer at all works.
func (a *api) Health(context.Context, *openshellv1.HealthRequest) (*openshellv1.HealthResponse, error) {
	status := openshellv1.ServiceStatus_SERVICE_STATUS_HEALTHY
	if !a.backend.works() {
		status = openshellv1.ServiceStatus_SERVICE_STATUS_DEGRADED
	}
	return &openshellv1.HealthResponse{Status: status, Version: version.Version}, nil
}

// newGRPC is the gRPC side of the gateway port: the API, the standard health
// service and reflection.
func newGRPC(a *api) (*grpc.Server, *health.Server) {
	around := calls{a.log}
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.ChainUnaryInterceptor(around.unary), grpc.ChainStreamInterceptor(around.stream),
	)
	openshellv1.RegisterOpenShellServer(s, a)
	h := health.NewServer()
	h.SetServingStatus(openshellv1.OpenShell_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, h)
	reflection.Register(s)
	return s, h
}

func newSessions(b *backend, namespace string) *session.Store {
	return &session.Store{Client: b.client, Namespace: namespace, Now: time.Now}
}
