package render

import (
	"fmt"
	"io"
	"strings"

	"openshell.ai/openshell/pkg/bootstrap"
)

type plain struct{ w io.Writer }

// NewPlain shows events as lines of text that never change.
func NewPlain(w io.Writer) Progress { return plain{w} }

func (p plain) Close() {}

func (p plain) Event(e bootstrap.Event) {
	line := plainLine(e)
	if line != "" {
		fmt.Fprintln(p.w, line)
	}
}

func plainLine(e bootstrap.Event) string {
	message := printable(e.Message)
	switch e.Kind {
	case bootstrap.StepStarted:
		return join(e.Step, printable(e.Cause))
	case bootstrap.StepProgress:
		return join(e.Step, message)
	case bootstrap.StepDone:
		if !e.Changed {
			return join(e.Step, "unchanged")
		}
		return join(e.Step, "done in "+Seconds(e.Elapsed))
	case bootstrap.StepFailed:
		return join(e.Step, strings.TrimRight("failed after "+Seconds(e.Elapsed)+": "+message, ": "))
	case bootstrap.Warning:
		return "warning: " + message
	case bootstrap.Note:
		return "note: " + message
	}
	return ""
}

// join is "step: detail", or the one that is not empty.
func join(step, detail string) string {
	switch {
	case detail == "":
		return step
	case step == "":
		return detail
	}
	return step + ": " + detail
}
