package sandbox

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Config is what a Manager needs.
type Config struct {
	REST       *rest.Config
	Namespace  string        // of the sandboxes; empty: sandboxapi.Namespace
	Master     handshake.Key // the keys of the sandboxes derive from it
	Supervisor Supervisor
	Endpoint   string // URL at which sandboxes reach the gateway

	// Memory that a sandbox may use which asks for no limit; zero: the lesser of
	// 4 GiB and 80 % of the node's.
	Memory resource.Quantity

	StorageClass string            // of the claims; empty: DefaultStorageClass
	StorageSize  resource.Quantity // of each claim; zero: DefaultStorageSize

	// HintListen is the address on which supervisors may say that they are up,
	// "host:port"; empty: none. HintAddress is the same as sandboxes reach it;
	// empty: they say nothing. See sandboxapi.SendHint.
	HintListen, HintAddress string
}

// What claims are made of when the configuration names nothing else.
const (
	DefaultStorageClass = "openshell"
	DefaultStorageSize  = "10Gi"
)

// Supervisor is where pods get the supervisor's binary from: one of the two.
type Supervisor struct {
	HostPath string // directory of the node that holds it
	Image    string // image whose /openshell-sandbox installs itself
}

// ParseSupervisor reads "hostPath:/directory" or "image:reference".
func ParseSupervisor(source string) (Supervisor, error) {
	kind, value, _ := strings.Cut(source, ":")
	switch {
	case kind == "hostPath" && strings.HasPrefix(value, "/"):
		return Supervisor{HostPath: value}, nil
	case kind == "image" && value != "":
		return Supervisor{Image: value}, nil
	}
	return Supervisor{}, fmt.Errorf("source of the supervisor %q is not hostPath:/directory or image:reference", source)
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.REST == nil:
		return c, errors.New("no Kubernetes API is configured")
	case c.Master == "":
		return c, errors.New("no handshake secret is configured")
	case (c.Supervisor.HostPath == "") == (c.Supervisor.Image == ""):
		return c, errors.New("no source of the supervisor is configured")
	}
	if c.Namespace == "" {
		c.Namespace = sandboxapi.Namespace
	}
	if c.StorageClass == "" {
		c.StorageClass = DefaultStorageClass
	}
	if c.StorageSize.IsZero() {
		c.StorageSize = resource.MustParse(DefaultStorageSize)
	}
	return c, nil
}
