// Package usercontainer runs containers on the local Docker Engine whose
// services a gateway leads to. A user container is two containers of Docker: the
// one of the user's image, which needs nothing of ours, and a sidecar of the
// gateway's own image, whose network the first one shares and which joins the
// gateway's VPN and registers the services.
//
// As in package bootstrap, what exists is observed, a plan is decided, and the
// plan is followed without decisions. A run that ends anywhere leaves what the
// next command on the same name takes away.
package usercontainer

import (
	"context"
	"io"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/gateway"
)

// Engine is the part of a Docker Engine that is used here.
type Engine interface {
	Container(ctx context.Context, ref string) (docker.Container, error)
	Containers(ctx context.Context, labels map[string]string) ([]docker.Container, error)
	CreateContainer(ctx context.Context, spec docker.ContainerSpec) (id string, err error)
	StartContainer(ctx context.Context, ref string) error
	StopContainer(ctx context.Context, ref string, timeout time.Duration) error
	PurgeContainer(ctx context.Context, ref string) error
	ReadFile(ctx context.Context, ref, path string) ([]byte, error)
	WriteFile(ctx context.Context, ref, path string, mode int64, data []byte) error
	Exec(ctx context.Context, ref string, spec docker.ExecSpec) (exitCode int, err error)
	Logs(ctx context.Context, ref string, opts docker.LogOptions) (io.ReadCloser, error)

	Volume(ctx context.Context, name string) (docker.Volume, error)
	Network(ctx context.Context, ref string) (docker.Network, error)
	ConnectNetwork(ctx context.Context, ref, container string) error
	DisconnectNetwork(ctx context.Context, ref, container string) error
}

// Host keeps commands of this host apart. *hostconfig.Store is it.
type Host interface {
	LockContainers(ctx context.Context, name gateway.Name, waiting func(holder string)) (unlock func(), err error)
}

// Progress shows what is being done.
type Progress interface {
	Step(name, cause string) (end func(changed bool))
	Note(message string)
	Warn(message string)
}

// Manager runs the user containers of gateways.
type Manager struct {
	Engine  Engine
	Host    Host
	Version string // of this openshell
}

// Options are a user container to run.
type Options struct {
	Gateway  gateway.Name
	Name     string   // a DNS label; empty: after the image
	Image    string   // on the engine already
	Services []Served // what it offers
	Env      []string // NAME=VALUE
	Argv     []string // nil: the image's
}

// Served is a service: HTTP on a port of the container, under a name.
type Served struct {
	Host string
	Port uint16
}

// State is how a user container is, in one word.
type State string

// The states.
const (
	Running    State = "running"  // and a part of the gateway's VPN
	Joining    State = "joining"  // it runs, and is not in the VPN
	Offline    State = "offline"  // it runs, and its gateway does not
	Detached   State = "detached" // it runs, and has no network any more
	Stopped    State = "stopped"
	Restarting State = "restarting" // it keeps ending
	Paused     State = "paused"
	Incomplete State = "incomplete" // what a run that was interrupted left
	Elsewhere  State = "elsewhere"  // the gateway knows it, this engine does not
)

// Container is a user container as it is. Fields are only added.
type Container struct {
	Name      string       `json:"name"`
	Gateway   gateway.Name `json:"gateway"`
	State     State        `json:"status"`
	Message   string       `json:"message,omitempty"` // what to do about it
	Image     string       `json:"image,omitempty"`
	Address   string       `json:"address,omitempty"` // in the VPN
	Connected bool         `json:"connected"`         // to the VPN
	Services  []Service    `json:"services"`
	Docker    string       `json:"container,omitempty"` // its name in Docker
	Sidecar   string       `json:"sidecar,omitempty"`
	ExitCode  *int         `json:"exitCode,omitempty"` // of one that ended
	Restarts  int          `json:"restarts"`
	CreatedAt *time.Time   `json:"createdAt,omitempty"`
}

// Service is one of the services of a container, and where it is reached.
type Service struct {
	Name    string `json:"name"`
	Port    uint16 `json:"port"`
	State   string `json:"state,omitempty"` // live, down or conflict; empty: not known
	Message string `json:"message,omitempty"`
	URL     string `json:"url,omitempty"`     // http://NAME.localhost:7100/, or that by its path
	PathURL string `json:"pathUrl,omitempty"` // http://127.0.0.1:7100/NAME/
}

// Live reports whether the gateway leads to the service.
func (s Service) Live() bool { return s.State == edgeapi.RouteLive }
