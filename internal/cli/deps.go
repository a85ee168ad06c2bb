package cli

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"

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
	Signals *signals // of this process; nil: none come

	Host   func() (Host, error)
	Engine func(ctx context.Context) (Engine, error) // Close is called when the command is over
	Dial   []grpc.DialOption                         // of connections to gateways
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

	// LockImages keeps others from removing images that a sandbox is about to
	// need.
	LockImages(ctx context.Context, name gateway.Name, waiting func(holder string)) (unlock func(), err error)
	WriteKnownHost(name gateway.Name, id, alias, hostKey string) (path string, err error)
	RemoveKnownHost(name gateway.Name, id string) error
	ForwardsDir(name gateway.Name) (string, error) // made if it is not there
}

// Engine is a connected Docker Engine and what openshell does with it.
type Engine interface {
	bootstrap.Gateways
	bootstrap.Edges
	// Check examines the engine, this host and one gateway.
	Check(ctx context.Context, name gateway.Name) ([]nodeapi.Check, error)
	Info(ctx context.Context) (docker.Info, error)
	// Container and EdgeLog are for a bug report; the gateway need not run.
	Container(ctx context.Context, name gateway.Name) (docker.Container, error)
	EdgeLog(ctx context.Context, name gateway.Name, file string) ([]byte, error)
	// Endpoint, Image and SaveImage are about the engine itself, not a gateway.
	Endpoint() string
	Image(ctx context.Context, ref string) (docker.Image, error)
	SaveImage(ctx context.Context, ref string) (io.ReadCloser, error)

	// Containers are the user containers of this engine.
	Containers() Containers

	// Ensure brings a gateway up as far as a new sandbox needs it.
	Ensure(ctx context.Context, opts bootstrap.EnsureOptions, sink bootstrap.Sink) (bootstrap.EnsureResult, error)
	// Images are those a gateway holds that were imported.
	Images(ctx context.Context, name gateway.Name) ([]nodeapi.Image, error)
	ImportImage(ctx context.Context, name gateway.Name, ref string, archive io.Reader) error
	RemoveImages(ctx context.Context, name gateway.Name, refs []string) error

	Close() error
}
