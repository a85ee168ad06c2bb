package usercontainer

import (
	"context"
	"errors"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

func isDocker(err error, d **docker.Error) bool { return errors.As(err, d) }

// asFault gives an error the form a user sees. An error that has it stays.
func asFault(ctx context.Context, err error) error {
	var f *fault.Error
	var d *docker.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.New(fault.Interrupted, fault.ExitInterrupted, "interrupted")
	case docker.IsUnreachable(err):
		return fault.New(fault.DockerUnreachable, fault.ExitUnreachable, "the Docker Engine does not answer").
			Hint("check that it runs: `docker info`").
			Hint("look for what is wrong: `openshell doctor check`").Because(err)
	case docker.IsNoSpace(err):
		return fault.New(fault.HostUnfit, fault.ExitFailure, "the Docker Engine has no space left on its disk").
			Hint("see what takes it: `docker system df`").Because(err)
	case docker.IsConflict(err):
		return fault.New(fault.Locked, fault.ExitConflict, "another user's openshell works on the same container").
			Hint("wait for it to end, then run the command again").Because(err)
	case isDocker(err, &d):
		return fault.New(fault.DockerFailed, fault.ExitFailure, "the Docker Engine answered with an error").Because(err)
	}
	return fault.New(fault.Internal, fault.ExitFailure, "something unforeseen went wrong").Because(err)
}
