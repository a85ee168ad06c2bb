package translate

import (
	"fmt"
	"strings"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/edge"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	maxPort  = 65535
	maxLabel = 63 // of a host name
)

// Route is what clients get of one.
func Route(r *v1.Route) *openshellv1.Route {
	return &openshellv1.Route{
		Host: r.Name, Sandbox: r.Spec.Sandbox, SandboxId: r.Spec.SandboxID, Port: uint32(r.Spec.Port),
		CreatedAtMs: r.CreationTimestamp.UnixMilli(),
	}
}

// CheckExpose refuses what cannot be exposed. Its error is *Invalid.
func CheckExpose(request *openshellv1.ExposeSandboxPortRequest) error {
	return firstOf(
		func() *Invalid { return unknown("request", request) },
		func() *Invalid { return checkName(request.GetName()) },
		func() *Invalid {
			switch port := request.GetPort(); {
			case port == sandboxapi.SSHPort:
				return invalid("port", "%d is the supervisor's", port)
			case port < 1 || port > maxPort:
				return invalid("port", "%d is not 1 to %d", port, maxPort)
			}
			return nil
		},
		func() *Invalid { return checkHost(request.GetHost()) },
	)
}

// CheckUnexpose refuses what is no selection of routes. Its error is *Invalid.
func CheckUnexpose(request *openshellv1.UnexposeSandboxPortRequest) error {
	return firstOf(
		func() *Invalid { return unknown("request", request) },
		func() *Invalid { return checkName(request.GetName()) },
		func() *Invalid {
			if port := request.GetPort(); port > maxPort {
				return invalid("port", "%d is not 1 to %d, or 0 for any", port, maxPort)
			}
			return nil
		},
		func() *Invalid { return checkHost(request.GetHost()) },
	)
}

func checkHost(host string) *Invalid {
	if host == "" {
		return nil
	}
	if err := edge.CheckHost(host); err != nil {
		return invalid("host", "%v", err)
	}
	return nil
}

// Hosts are the names for a port of a sandbox when none was asked for, the best
// first: its own name, if that is a DNS label, and that with the port.
func Hosts(sandbox string, port uint32) []string {
	suffix := fmt.Sprintf("-%d", port)
	label := strings.ReplaceAll(sandbox, ".", "-")
	if most := maxLabel - len(suffix); len(label) > most {
		label = strings.TrimRight(label[:most], "-")
	}
	numbered := label + suffix
	if edge.CheckHost(sandbox) != nil {
		return []string{numbered}
	}
	return []string{sandbox, numbered}
}
