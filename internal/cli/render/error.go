package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"openshell.ai/openshell/pkg/fault"
)

// Error writes an error for people: a sentence, its cause, hints and its id.
func Error(w io.Writer, color bool, err error) {
	style := newPalette(w, color)
	sentence, cause, known := parts(err)
	fmt.Fprintf(w, "%s %s\n", style.failed.Render("error:"), sentence)
	if cause != "" {
		fmt.Fprintf(w, "  %s %s\n", style.dim.Render("cause:"), cause)
	}
	for _, hint := range known.Hints {
		fmt.Fprintf(w, "  %s %s\n", style.hint.Render("hint:"), Printable(hint))
	}
	fmt.Fprintf(w, "  %s\n", style.dim.Render("id: "+string(known.ID)))
}

// ErrorJSON writes an error for programs, on one line.
func ErrorJSON(w io.Writer, err error) {
	sentence, cause, known := parts(err)
	type document struct {
		ID      fault.ID `json:"id"`
		Message string   `json:"message"`
		Cause   string   `json:"cause,omitempty"`
		Hints   []string `json:"hints"`
		Exit    int      `json:"exitCode"`
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct { // there is no other place to report to
		Kind  string   `json:"kind"`
		Error document `json:"error"`
	}{"error", document{known.ID, sentence, cause, append([]string{}, known.Hints...), int(known.Exit)}})
}

// parts takes an error apart. What was wrapped around the fault stands before
// its sentence.
func parts(err error) (sentence, cause string, known *fault.Error) {
	if !errors.As(err, &known) {
		known = &fault.Error{ID: fault.Internal, Exit: fault.ExitFailure, Message: err.Error()}
	}
	around, _ := strings.CutSuffix(err.Error(), known.Error())
	if around == err.Error() {
		around = "" // wrapped in another way than by a prefix
	}
	if known.Cause != nil {
		cause = Printable(known.Cause.Error())
	}
	return Printable(around + known.Message), cause, known
}

// palette are the styles of a terminal, or none.
type palette struct{ done, failed, warn, hint, dim lipgloss.Style }

func newPalette(w io.Writer, color bool) palette {
	r := lipgloss.NewRenderer(w, termenv.WithUnsafe())
	// Basic colours only: they follow the user's theme, and asking the terminal
	// for more would cost a round trip.
	r.SetColorProfile(termenv.Ascii)
	if color {
		r.SetColorProfile(termenv.ANSI)
	}
	r.SetHasDarkBackground(true)
	return palette{
		done:   r.NewStyle().Foreground(lipgloss.Color("2")),
		failed: r.NewStyle().Foreground(lipgloss.Color("1")).Bold(true),
		warn:   r.NewStyle().Foreground(lipgloss.Color("3")),
		hint:   r.NewStyle().Foreground(lipgloss.Color("6")),
		dim:    r.NewStyle().Faint(true),
	}
}
