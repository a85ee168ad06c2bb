package render

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"openshell.ai/openshell/pkg/bootstrap"
)

// DefaultTick is how often a terminal is redrawn while a step runs.
const DefaultTick = 100 * time.Millisecond

// LiveOptions say how to draw on a terminal.
type LiveOptions struct {
	Color bool
	Width func() int
	Now   func() time.Time
	Tick  time.Duration // 0: redraw with events only
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// live keeps finished steps as lines that scroll away and redraws the running
// ones below them.
type live struct {
	w    io.Writer
	opts LiveOptions
	palette

	mu      sync.Mutex
	running []*step
	drawn   int // lines below the finished ones
	frame   int
	stop    chan struct{}
	stopped sync.WaitGroup
}

type step struct {
	name, cause, detail string
	since               time.Time
}

// NewLive shows events on a terminal as a list of steps: what changed stays,
// what was found as it should be vanishes, what runs has a spinner.
func NewLive(w io.Writer, opts LiveOptions) Progress {
	l := &live{w: w, opts: opts, palette: newPalette(w, opts.Color), stop: make(chan struct{})}
	if opts.Tick > 0 {
		l.stopped.Add(1)
		go l.tick()
	}
	return l
}

func (l *live) tick() {
	defer l.stopped.Done()
	ticker := time.NewTicker(l.opts.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			l.mu.Lock()
			if len(l.running) > 0 {
				l.frame++
				l.redraw("")
			}
			l.mu.Unlock()
		}
	}
}

// Close erases what still runs: the error that follows says what became of it.
func (l *live) Close() {
	close(l.stop)
	l.stopped.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = nil
	l.redraw("")
}

func (l *live) Event(e bootstrap.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	message := Printable(e.Message)
	switch e.Kind {
	case bootstrap.StepStarted:
		l.running = append(l.running, &step{name: e.Step, cause: Printable(e.Cause), since: l.opts.Now()})
		l.redraw("")
	case bootstrap.StepProgress:
		for _, s := range l.running {
			if s.name == e.Step {
				s.detail = message
			}
		}
		l.redraw("")
	case bootstrap.StepDone:
		s := l.finish(e.Step)
		if !e.Changed {
			l.redraw("")
			return
		}
		l.redraw(l.line(l.done.Render("✓"), e.Step, s.cause, e.Elapsed))
	case bootstrap.StepFailed:
		l.finish(e.Step)
		l.redraw(l.line(l.failed.Render("✗"), e.Step, message, e.Elapsed))
	case bootstrap.Warning:
		l.redraw(l.warn.Render("!") + " " + message)
	case bootstrap.Note:
		l.redraw(l.dim.Render("·") + " " + message)
	}
}

// finish takes a step off the running ones.
func (l *live) finish(name string) step {
	for i, s := range l.running {
		if s.name == name {
			l.running = append(l.running[:i], l.running[i+1:]...)
			return *s
		}
	}
	return step{name: name}
}

// redraw replaces the running steps on the screen, below the line said if it
// is not empty. One write a time keeps the screen from flickering.
func (l *live) redraw(said string) {
	var b strings.Builder
	if l.drawn > 0 {
		b.WriteString(ansi.CursorUp(l.drawn))
		b.WriteString("\r" + ansi.EraseScreenBelow)
	}
	if said != "" {
		b.WriteString(said + "\n")
	}
	for _, s := range l.running {
		detail := s.detail
		if detail == "" {
			detail = s.cause
		}
		mark := string(spinner[l.frame%len(spinner)])
		b.WriteString(l.line(mark, s.name, detail, l.opts.Now().Sub(s.since)) + "\n")
	}
	l.drawn = len(l.running)
	fmt.Fprint(l.w, b.String())
}

// line is "✓ step  detail  0.3s", cut to the terminal's width so that it never
// wraps: the cursor goes up by lines.
func (l *live) line(mark, name, detail string, elapsed time.Duration) string {
	took := Seconds(elapsed)
	room := l.opts.Width() - len(took) - 2
	left := mark + " " + name
	if detail != "" {
		left += "  " + l.dim.Render(detail)
	}
	left = ansi.Truncate(left, max(room, 1), "…")
	return left + "  " + l.dim.Render(took)
}
