//go:build linux

// Package proc starts, follows and ends the processes of a sandbox, in the way
// that PID 1 has to: it inherits every orphan, and when it ends nobody else
// ends them.
package proc

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// ErrStopping refuses a process of a sandbox that is on its way out.
var ErrStopping = errors.New("the sandbox is stopping")

// Table is all processes of the sandbox. Only it waits for any: a status is
// handed to the Process that was registered under the PID, an orphan's is
// dropped. Starting and reaping exclude each other, so that a process cannot be
// reaped before it is registered.
type Table struct {
	UID, GID uint32

	mu        sync.Mutex
	procs     map[int]*Process
	stopping  bool
	childless chan struct{} // non-nil when somebody waits for the last child
}

// NewTable begins to reap. There is one in a program, and it is PID 1.
func NewTable(uid, gid uint32) *Table {
	t := &Table{UID: uid, GID: gid, procs: map[int]*Process{}}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			t.reap()
		}
	}()
	return t
}

func (t *Table) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.collect()
}

// collect is called with the lock held.
func (t *Table) collect() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD):
			if t.childless != nil {
				close(t.childless)
				t.childless = nil
			}
			return
		case pid <= 0:
			return
		default:
			if p := t.procs[pid]; p != nil {
				delete(t.procs, pid)
				p.end(status)
			}
		}
	}
}

// Stop ends every process but this one: SIGTERM, SIGHUP for what has a
// terminal, SIGKILL after the grace. It returns when none is left. Nothing can
// be started any more; what had ended before counts as ended before: decide is
// called between the two.
func (t *Table) Stop(grace time.Duration, decide func()) {
	if os.Getpid() != 1 {
		panic("proc: only PID 1 may signal every process")
	}
	t.mu.Lock()
	t.collect()
	t.stopping = true
	decide()
	gone := make(chan struct{})
	t.childless = gone
	t.hangUp()
	t.collect() // none left: do not wait
	t.mu.Unlock()

	kill(-1, syscall.SIGTERM)
	kill(-1, syscall.SIGCONT)
	late := time.After(grace)
	// A shell that is only starting takes note of the first and then waits for a
	// key all the same.
	select {
	case <-gone:
		return
	case <-time.After(min(grace, hangUpAgain)):
	}
	t.mu.Lock()
	t.hangUp()
	t.mu.Unlock()
	select {
	case <-gone:
		return
	case <-late:
	}
	kill(-1, syscall.SIGKILL)
	select {
	case <-gone:
	case <-time.After(time.Second): // one sleeps in the kernel: it ends with the namespace
	}
}

// hangUpAgain is when what has a terminal and is still there is told once more.
const hangUpAgain = 500 * time.Millisecond

// hangUp tells what has a terminal that it is going. The caller holds the lock.
func (t *Table) hangUp() {
	for _, p := range t.procs {
		if p.tty != nil {
			kill(-p.pid, syscall.SIGHUP)
		}
	}
}

// kill ignores errors: a process that is gone needs no signal.
func kill(pid int, s syscall.Signal) { syscall.Kill(pid, s) } //nolint:errcheck // see above
