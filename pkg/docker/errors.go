package docker

import (
	"errors"
	"fmt"
)

// Kind is a class of error a caller acts on.
type Kind string

// The kinds. An error of no kind below has the kind Other.
const (
	Other          Kind = "other"
	NotFound       Kind = "not found"       // container, volume, network or image
	FileNotFound   Kind = "file not found"  // a path in a container that exists
	Conflict       Kind = "conflict"        // the name is in use
	PortInUse      Kind = "port in use"     // see PortOf
	NetworkMissing Kind = "network missing" // a container's network is gone
	SubnetTaken    Kind = "subnet taken"    // the range overlaps another network's
	NoSpace        Kind = "no space"        // the engine's disk is full
	InUse          Kind = "in use"          // the resource still has users
	NotRunning     Kind = "not running"     // the container, or the one whose network it shares, is not running, or is paused
	Unreachable    Kind = "unreachable"     // no answer from the engine
)

// Error is a failed call to the engine.
type Error struct {
	Kind Kind
	Op   string // "start container"
	Ref  string // what it was about; may be empty
	Port int    // of PortInUse: the host port, 0 if the engine did not name it
	Err  error  // what the engine or the transport said
}

// NewError returns an Error whose cause is the formatted message.
func NewError(kind Kind, op, ref, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Ref: ref, Err: fmt.Errorf(format, args...)}
}

func (e *Error) Error() string {
	if e.Ref == "" {
		return e.Op + ": " + e.Err.Error()
	}
	return e.Op + " " + e.Ref + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// IsNotFound reports that what a call was about does not exist: a container,
// volume, network or image, or a file (see IsFileNotFound).
func IsNotFound(err error) bool { return is(err, NotFound) || is(err, FileNotFound) }

// IsFileNotFound reports that the container exists and the path in it does not.
func IsFileNotFound(err error) bool { return is(err, FileNotFound) }

// IsConflict reports that a name is already in use.
func IsConflict(err error) bool { return is(err, Conflict) }

// IsPortInUse reports that a host port could not be published.
func IsPortInUse(err error) bool { return is(err, PortInUse) }

// PortOf is the host port that an IsPortInUse error names; ok is false when
// the engine did not name one.
func PortOf(err error) (port int, ok bool) {
	var e *Error
	if !errors.As(err, &e) || e.Kind != PortInUse {
		return 0, false
	}
	return e.Port, e.Port != 0
}

// IsNetworkMissing reports that a container cannot start because a network it
// was created on no longer exists.
func IsNetworkMissing(err error) bool { return is(err, NetworkMissing) }

// IsSubnetTaken reports that a network's address range overlaps another's.
func IsSubnetTaken(err error) bool { return is(err, SubnetTaken) }

// IsNoSpace reports that the engine's disk is full.
func IsNoSpace(err error) bool { return is(err, NoSpace) }

// IsInUse reports that a volume, network or image cannot be removed because a
// container uses it.
func IsInUse(err error) bool { return is(err, InUse) }

// IsNotRunning reports that a call needs a container that runs unpaused.
func IsNotRunning(err error) bool { return is(err, NotRunning) }

// IsUnreachable reports that the engine did not answer; the call may have had
// its effect.
func IsUnreachable(err error) bool { return is(err, Unreachable) }

func is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
