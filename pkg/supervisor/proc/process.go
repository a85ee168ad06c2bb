//go:build linux

package proc

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Size is that of a terminal.
type Size struct{ Cols, Rows uint16 }

// Spec is a process to start.
type Spec struct {
	Argv  []string
	Path  string // what is executed; empty: Argv[0], looked up in Env's PATH
	Dir   string
	Env   []string
	TTY   *Size // nil: pipes
	Stdin bool  // without it, and without TTY, stdin is /dev/null
}

// Process is a session leader of the sandbox user's.
type Process struct {
	table *Table
	pid   int
	tty   *os.File // the master, or nil
	stdin *os.File // or nil

	// Stdout and Stderr are read by the caller, to the end: see Copy. Of a
	// terminal there is Stdout only.
	Stdout, Stderr *os.File

	done    chan struct{}
	status  syscall.WaitStatus
	endedAt time.Time

	closing sync.Once
}

// end is called once, by the table.
func (p *Process) end(status syscall.WaitStatus) {
	p.status, p.endedAt = status, time.Now()
	close(p.done)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// EndedAt is meaningful after Done.
func (p *Process) EndedAt() time.Time { return p.endedAt }

// Signalled returns the signal that ended the process, or 0, and whether it
// dumped core. It is meaningful after Done.
func (p *Process) Signalled() (syscall.Signal, bool) {
	if p.status.Signaled() {
		return p.status.Signal(), p.status.CoreDump()
	}
	return 0, false
}

// ExitCode is 128 + n after signal n. It is meaningful after Done.
func (p *Process) ExitCode() int {
	if signal, _ := p.Signalled(); signal != 0 {
		return 128 + int(signal)
	}
	return p.status.ExitStatus()
}

// Signal reaches the process and its group, as long as it has not ended: later
// the number may be somebody else's.
func (p *Process) Signal(s syscall.Signal) {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	select {
	case <-p.done:
	default:
		kill(-p.pid, s)
	}
}

// Write feeds stdin. Without one it swallows.
func (p *Process) Write(b []byte) (int, error) {
	switch {
	case p.tty != nil:
		return p.tty.Write(b)
	case p.stdin != nil:
		return p.stdin.Write(b)
	}
	return len(b), nil
}

// CloseWrite ends stdin; on a terminal it types the character for that.
func (p *Process) CloseWrite() {
	if p.tty != nil {
		const endOfTransmission = 4
		p.tty.Write([]byte{endOfTransmission}) //nolint:errcheck // the terminal is gone: so is its reader
		return
	}
	if p.stdin != nil {
		p.stdin.Close()
	}
}

// Resize tells the process the size of its terminal, if it has one.
func (p *Process) Resize(s Size) {
	if p.tty == nil || s.Cols == 0 || s.Rows == 0 {
		return
	}
	if c, err := p.tty.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { setSize(int(fd), s) }) //nolint:errcheck // closed: nobody looks at it
	}
}

// Abandon is for a client that went away: what it ran gets SIGHUP, and has
// neither input nor terminal any more. Its output is still to be read, or it
// would die of SIGPIPE while it cleans up.
func (p *Process) Abandon() {
	p.Signal(syscall.SIGHUP)
	p.Signal(syscall.SIGCONT)
	for _, f := range []*os.File{p.tty, p.stdin} {
		if f != nil {
			f.Close()
		}
	}
}

// Close gives up this side of the streams.
func (p *Process) Close() {
	p.closing.Do(func() {
		for _, f := range []*os.File{p.tty, p.stdin, p.Stdout, p.Stderr} {
			if f != nil {
				f.Close()
			}
		}
	})
}

func setSize(fd int, s Size) {
	unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: s.Cols, Row: s.Rows}) //nolint:errcheck // cosmetic
}
