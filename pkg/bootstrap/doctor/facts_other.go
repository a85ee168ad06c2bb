//go:build !linux

package doctor

import "openshell.ai/openshell/pkg/docker"

// Local knows nothing here: the engine runs in a virtual machine, whose limits
// are not this host's.
func Local(docker.Info) Facts { return Facts{} }
