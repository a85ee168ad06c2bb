package bootstrap

import (
	"context"
	"errors"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// observeError is an error of looking: nothing was touched.
func observeError(ctx context.Context, err error) error {
	return asFault(ctx, err, fault.ExitUnreachable)
}

// stepError is an error of doing.
func stepError(ctx context.Context, err error) *fault.Error {
	return asFault(ctx, err, fault.ExitFailure)
}

// asFault gives an error the form a user sees. An error that has it stays.
func asFault(ctx context.Context, err error, exit fault.Exit) *fault.Error {
	var e *fault.Error
	var d *docker.Error
	switch {
	case interrupted(ctx, err):
		return fault.New(fault.Interrupted, fault.ExitInterrupted, "interrupted")
	case errors.As(err, &e):
		return e
	case docker.IsUnreachable(err):
		return fault.New(fault.DockerUnreachable, fault.ExitUnreachable, "the Docker Engine does not answer").
			Hint("check that it runs: `docker info`").
			Hint("look for what is wrong: `openshell doctor check`").Because(err)
	case docker.IsNoSpace(err):
		return fault.New(fault.HostUnfit, fault.ExitFailure, "the Docker Engine has no space left on its disk").
			Hint("see what takes it: `docker system df`").Because(err)
	case docker.IsPortInUse(err):
		return fault.New(fault.PortInUse, fault.ExitConflict, "a port of the gateway is in use").Because(err)
	case docker.IsConflict(err):
		return fault.New(fault.Locked, fault.ExitConflict, "another user's openshell works on the same gateway").
			Hint("wait for it to end, then run the command again").Because(err)
	case errors.As(err, &d):
		return fault.New(fault.DockerFailed, exit, "the Docker Engine answered with an error").Because(err)
	}
	return fault.New(fault.Internal, fault.ExitFailure, "something unforeseen went wrong").Because(err)
}

// interrupted reports whether the user ended ctx and err follows from that.
func interrupted(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) && !fault.HasID(err, fault.Timeout) && !fault.HasID(err, fault.IdleTimeout)
}

func notFound(name gateway.Name) error {
	return fault.New(fault.NotFound, fault.ExitFailure, "there is no gateway %s", name).
		Hint("make one: `openshell gateway start %s`", name).
		Hint("see which there are: `openshell gateway list`")
}
