package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// A second Ctrl-C so soon after another means openshell itself.
const secondInterrupt = time.Second

// errLeft is the cause of a context that the user ended to leave a process.
var errLeft = errors.New("left")

// defaultTerminal is assumed of a terminal that nobody sees.
var defaultTerminal = sandboxapi.TTY{Term: "xterm", Cols: 80, Rows: 24}

// session shows a process of a sandbox: its streams, terminal and signals are
// those of this process.
type session struct {
	deps  *Deps
	tty   bool // the process has a terminal
	stdin bool // it reads ours
	leave bool // Ctrl-P Ctrl-Q on the terminal leaves it
}

// interactive reports whether somebody sits at a terminal.
func (d *Deps) interactive() bool { return d.InTTY && d.OutTTY }

// run starts a process and returns its exit code. left is true when the user
// went away from it, which is 0 by keys and 130 by a signal. The terminal is
// given back in every case.
func (s session) run(ctx context.Context, start func(context.Context, *sandboxapi.TTY, sandboxssh.Streams) (int, error)) (code int, left bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	streams := sandboxssh.Streams{Stdout: s.deps.Out, Stderr: s.deps.Err}
	if s.stdin || s.tty {
		streams.Stdin = s.deps.In
	}
	var terminal *sandboxapi.TTY
	if s.tty {
		size := defaultTerminal
		terminal = &size
		if name := s.deps.Env("TERM"); name != "" {
			size.Term = name
		}
		if s.deps.interactive() {
			restore, sizes, noTerminal := rawTerminal(ctx, s.deps.In, s.deps.Out)
			if noTerminal != nil {
				return 0, false, noTerminal
			}
			defer func() {
				restore()
				if err != nil {
					fmt.Fprintln(s.deps.Err) // the cursor may be anywhere on its line
				}
			}()
			if s.leave {
				streams.Stdin = &leaver{r: s.deps.In, leave: func() { cancel(errLeft) }}
			}
			streams.Sizes = terminalSizes(ctx, &size, sizes)
		}
	}
	passed := make(chan string, 4)
	streams.Signals = passed
	defer s.deps.Signals.take(s.passSignals(passed, func() { cancel(errInterrupted) }))()
	code, err = start(ctx, terminal, streams)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLeft):
		return int(fault.ExitOK), true, nil
	case errors.Is(cause, errInterrupted) && err != nil:
		return int(fault.ExitInterrupted), true, nil
	}
	return code, false, err
}

// passSignals hands signals to the process, and the second of two in a row to
// leave.
func (s session) passSignals(to chan<- string, leave func()) func(os.Signal) {
	var last time.Time
	return func(sig os.Signal) {
		now := time.Now()
		if now.Sub(last) < secondInterrupt {
			leave()
			return
		}
		last = now
		name := "INT"
		if sig == syscall.SIGTERM {
			name = "TERM"
		}
		select {
		case to <- name:
		default: // it has enough of them
		}
	}
}

// terminalSizes puts the first size into now and passes on the later ones.
func terminalSizes(ctx context.Context, now *sandboxapi.TTY, sizes <-chan bootstrap.TermSize) <-chan sandboxapi.TTY {
	set := func(size bootstrap.TermSize) sandboxapi.TTY {
		return sandboxapi.TTY{Term: now.Term, Cols: uint16(min(size.Width, 1<<16-1)), Rows: uint16(min(size.Height, 1<<16-1))}
	}
	select {
	case size := <-sizes:
		if size.Width > 0 && size.Height > 0 {
			*now = set(size)
		}
	case <-time.After(100 * time.Millisecond): // it is only a size
	}
	out := make(chan sandboxapi.TTY)
	go func() {
		defer close(out)
		for size := range sizes {
			select {
			case out <- set(size):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Keys that leave a process on a terminal, where Ctrl-C is the process's.
const (
	leaveFirst  = 0x10 // Ctrl-P
	leaveSecond = 0x11 // Ctrl-Q
)

// leaver passes keys on and watches for those that leave. The first of the two
// is held back until the next key.
type leaver struct {
	r     io.Reader
	leave func()
	held  bool
}

func (l *leaver) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return l.r.Read(p)
	}
	buffer := make([]byte, len(p)/2) // each key may bring a held one along
	for {
		n, err := l.r.Read(buffer)
		out, left := l.filter(p[:0], buffer[:n])
		if left {
			l.leave()
			return len(out), errLeft // no end of the input: the process goes on
		}
		if len(out) > 0 || err != nil {
			return len(out), err
		}
	}
}

func (l *leaver) filter(out, keys []byte) (passed []byte, left bool) {
	for _, key := range keys {
		switch {
		case l.held && key == leaveSecond:
			return out, true
		case l.held:
			out = append(out, leaveFirst)
		}
		if l.held = key == leaveFirst; !l.held {
			out = append(out, key)
		}
	}
	return out, false
}

// lost explains the end of a connection in the midst.
func lost(name string, err error) error {
	var known *fault.Error
	var refused *sandboxssh.Refused
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return err
	case errors.As(err, &refused):
		return fault.New(fault.SandboxNotReady, fault.ExitNotRunning, "sandbox %s refused: %s", name, refused.Message)
	}
	return fault.New(fault.ConnectionLost, fault.ExitFailure, "the connection to sandbox %s was lost", name).
		Hint("`openshell sandbox get %s` says how it is", name).Because(err)
}

// sayLeft says how to get back to a command.
func (d *Deps) sayLeft(name string) {
	fmt.Fprintf(d.Err, "left the command of sandbox %s running; `openshell sandbox attach %s` shows it again\n", name, name)
}
