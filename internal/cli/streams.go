package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Streams are where a command reads and writes. Out carries results only;
// progress, questions and errors go to Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer

	InTTY, OutTTY, ErrTTY bool
	Color                 bool       // Err may be coloured
	Live                  bool       // Err can redraw lines
	Width                 func() int // of the terminal behind Err, in cells
}

const defaultWidth = 80

// systemStreams are those of this process.
func systemStreams(env func(string) string) Streams {
	s := Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: isTerminal(os.Stdin), OutTTY: isTerminal(os.Stdout), ErrTTY: isTerminal(os.Stderr),
		Width: func() int {
			if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && width > 0 {
				return width
			}
			return defaultWidth
		},
	}
	s.Live = s.ErrTTY && env("CI") == "" && env("TERM") != "dumb"
	s.Color = s.Live && env("NO_COLOR") == ""
	return s
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
