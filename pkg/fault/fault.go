// Package fault is the one error type a user sees: an id to look up, one
// sentence, at most three hints, an exit code and the cause.
package fault

import (
	"errors"
	"fmt"
)

// Exit is a process exit code of the command-line tool.
type Exit int

// The exit codes of the gateway contract.
const (
	ExitOK          Exit = 0
	ExitFailure     Exit = 1
	ExitUsage       Exit = 2   // bad flag, argument or name
	ExitNotRunning  Exit = 3   // status of a gateway that is not healthy
	ExitUnreachable Exit = 4   // the Docker Engine does not answer
	ExitConflict    Exit = 5   // port, name or lock is taken
	ExitTimeout     Exit = 6   // waiting ended; everything was left running
	ExitDecision    Exit = 7   // the state needs a decision of the user
	ExitOwn         Exit = 125 // our own failure in a verb that runs a user's command
	ExitInterrupted Exit = 130 // the user pressed Ctrl-C
)

// Error is a failure a user can act on.
type Error struct {
	ID      ID       // kebab-case; a heading of docs/troubleshooting.md
	Message string   // one sentence, lower case, without a full stop
	Hints   []string // at most three; commands stand in backquotes
	Exit    Exit
	Cause   error // may be nil
}

// New returns an Error. The sentence is formatted as by fmt.Sprintf.
func New(id ID, exit Exit, format string, args ...any) *Error {
	return &Error{ID: id, Exit: exit, Message: fmt.Sprintf(format, args...)}
}

// Hint adds a hint and returns the same error, so that calls chain.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Hints = append(e.Hints, fmt.Sprintf(format, args...))
	return e
}

// Because records the cause and returns the same error, so that calls chain.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, &Error{ID: x}) true for every Error with that id.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.ID == e.ID
}

// ExitOf is the exit code for err: 0 for nil, the code of the first Error in
// the chain, else 1.
func ExitOf(err error) Exit {
	if err == nil {
		return ExitOK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Exit
	}
	return ExitFailure
}

// HasID reports whether an Error with the id is in err's chain.
func HasID(err error, id ID) bool { return errors.Is(err, &Error{ID: id}) }
