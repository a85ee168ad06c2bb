package render

import (
	"fmt"
	"io"
	"strings"

	"openshell.ai/openshell/pkg/bootstrap"
)

// plain keeps the causes of the steps that run.
type plain struct {
	w      io.Writer
	causes map[string]string
}

// NewPlain shows events as lines of text that never change: one for a step that
// changed something, none for one that found everything as it should be, and
// one for every progress, which is how a long wait shows that it goes on.
func NewPlain(w io.Writer) Progress { return plain{w, map[string]string{}} }

func (p plain) Close() {}

func (p plain) Event(e bootstrap.Event) {
	if e.Kind == bootstrap.StepStarted {
		p.causes[e.Step] = Printable(e.Cause)
	}
	if line := p.line(e); line != "" {
		fmt.Fprintln(p.w, line)
	}
}

func (p plain) line(e bootstrap.Event) string {
	message := Printable(e.Message)
	switch e.Kind {
	case bootstrap.StepProgress:
		return join(e.Step, message)
	case bootstrap.StepDone:
		if e.Changed {
			return join(e.Step, p.causes[e.Step]) + " (" + Seconds(e.Elapsed) + ")"
		}
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
