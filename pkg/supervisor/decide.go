//go:build linux

package supervisor

import "openshell.ai/openshell/pkg/sandboxapi"

// next is what becomes of the command when the supervisor starts.
type next int

const (
	stay next = iota // it does not run
	hold             // it waits for an Attach with Start
	run
)

// decide returns the command's status at the start of the supervisor, from what
// was recorded (nil: nothing) and the failure to know that.
func decide(c sandboxapi.Command, recorded *sandboxapi.CommandStatus, failure error) (sandboxapi.CommandStatus, next) {
	switch {
	case failure != nil:
		// It may have finished: to run it again could do twice what was to be
		// done once.
		return sandboxapi.CommandStatus{State: sandboxapi.CommandInterrupted, Message: failure.Error()}, stay
	case recorded == nil && c.Hold:
		return sandboxapi.CommandStatus{State: sandboxapi.CommandWaiting}, hold
	case recorded == nil:
		return sandboxapi.CommandStatus{State: sandboxapi.CommandRunning}, run
	case recorded.State == sandboxapi.CommandExited:
		return *recorded, stay
	case c.NoRestart:
		s := *recorded
		s.State = sandboxapi.CommandInterrupted
		if s.Message == "" {
			s.Message = "the sandbox stopped while the command ran"
		}
		return s, stay
	}
	return sandboxapi.CommandStatus{State: sandboxapi.CommandRunning, Runs: recorded.Runs}, run
}
