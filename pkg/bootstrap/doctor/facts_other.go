//go:build !linux

package doctor

// Local knows nothing here: the engine runs in a virtual machine, whose limits
// are not this host's.
func Local() Facts { return Facts{} }
