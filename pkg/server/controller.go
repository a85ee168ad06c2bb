package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"openshell.ai/openshell/pkg/sandbox"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// Controller keeps sandboxes as the resources in Kubernetes say, and reaches
// their supervisors. The errors of Dial and Connect are those of sandbox.Agents.
type Controller interface {
	Run(ctx context.Context) error
	Client() client.WithWatch
	Dial(ctx context.Context, id string) (net.Conn, error)
	Connect(ctx context.Context, id string) (Agent, error)
	Knows(id string) bool // whether the status of a sandbox that is to run is its present one
}

// Agent is a connection to a supervisor, as sandboxssh.Client is.
type Agent interface {
	Exec(ctx context.Context, e sandboxapi.Exec, s sandboxssh.Streams) (exitCode int, err error)
	Logs(ctx context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error
	Close() error
}

// InCluster makes the controller of a server that runs in the cluster of its
// sandboxes.
func InCluster(cfg Config) func(*slog.Logger) (Controller, error) {
	return func(log *slog.Logger) (Controller, error) {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("the Kubernetes API of this pod: %w", err)
		}
		of := cfg.Controller
		of.REST, of.Master, of.Endpoint = config, cfg.Handshake, cfg.Sandboxes.GRPCEndpoint
		m, err := sandbox.NewManager(of, log)
		if err != nil {
			return nil, err
		}
		return managed{m}, nil
	}
}

// managed is a sandbox.Manager.
type managed struct{ *sandbox.Manager }

func (m managed) Dial(ctx context.Context, id string) (net.Conn, error) {
	return m.Agents().Dial(ctx, id)
}

func (m managed) Connect(ctx context.Context, id string) (Agent, error) {
	c, err := m.Agents().Connect(ctx, id)
	if err != nil {
		return nil, err
	}
	return c, nil
}
