// Package cli is the openshell command: flags in, one call of package
// bootstrap, a rendered answer out. It decides nothing about gateways.
package cli

import (
	"context"
	"errors"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
)

// Main runs openshell with the arguments, streams and signals of this process
// and returns its exit code.
func Main() int { return Wiring{}.Main() }

func runWith(deps Deps, args []string) int {
	ctx, signals, stop := interruptible(context.Background())
	defer stop()
	deps.Signals = signals
	return Run(ctx, deps, args)
}

// Run executes one command line and returns the exit code. An error has been
// written to deps.Err.
func Run(ctx context.Context, deps Deps, args []string) int {
	root := newRoot(&deps)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(fault.ExitOK)
	}
	var passed exitCode
	if errors.As(err, &passed) {
		return int(passed)
	}
	err = asFault(ctx, err)
	passesOn := cmd.Annotations[runsUserCommand] != ""
	if !passesOn && wantsJSON(args) {
		render.ErrorJSON(deps.Err, err)
	} else {
		render.Error(deps.Err, deps.Color, err)
	}
	if passesOn && ctx.Err() == nil {
		return int(fault.ExitOwn)
	}
	return int(fault.ExitOf(err))
}

// exitCode ends the process with a code and no message: it is the user's
// command that failed, or the answer on stdout says it all.
type exitCode int

func (exitCode) Error() string { return "" }

// asFault makes every error one that can be looked up, and gives those of an
// interrupted run the exit code for it.
func asFault(ctx context.Context, err error) error {
	var known *fault.Error
	found := errors.As(err, &known)
	if errors.Is(context.Cause(ctx), errInterrupted) {
		if found && !errors.Is(err, context.Canceled) {
			interrupted := *known
			interrupted.Exit = fault.ExitInterrupted
			return &interrupted
		}
		return fault.New(fault.Interrupted, fault.ExitInterrupted, "interrupted")
	}
	if found {
		return err
	}
	return fault.New(fault.Internal, fault.ExitFailure, "something went wrong that openshell does not foresee").
		Hint("`openshell doctor bundle` collects what a bug report needs").Because(err)
}
