package cli

import (
	"context"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Deps are what commands work with. The functions are called when a command
// needs what they give, so that help and mistakes cost nothing.
type Deps struct {
	Streams
	Env     func(string) string
	Now     func() time.Time
	Version string

	Host   func() (Host, error)
	Engine func(ctx context.Context) (Engine, error) // Close is called when the command is over
}

// Host are the files on the host that commands read themselves.
// *hostconfig.Store is it. What is not there is fs.ErrNotExist.
type Host interface {
	Active() (gateway.Name, error)
	Names() ([]gateway.Name, error)
	Metadata(name gateway.Name) (hostconfig.Metadata, error)
	Bundle(name gateway.Name) (hostconfig.Bundle, error)
	LastFailure(name gateway.Name) ([]byte, error)
	GatewayDir(name gateway.Name) string
}

// Engine is a connected Docker Engine and what openshell does with it.
type Engine interface {
	bootstrap.Gateways
	// Check examines the engine, this host and one gateway.
	Check(ctx context.Context, name gateway.Name) ([]nodeapi.Check, error)
	Info(ctx context.Context) (docker.Info, error)
	Close() error
}
