//go:build linux

package proc

import (
	"errors"
	"fmt"
	"syscall"
)

// Exit codes of what could not be run, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// StartError says why a process could not be started, in words for its user.
type StartError struct {
	Code    int // 126 or 127
	Message string
}

func (e *StartError) Error() string { return e.Message }

// Start runs a process as the sandbox user, without groups, in a session of its
// own. Its error is a *StartError, ErrStopping, or one of this system.
func (t *Table) Start(s Spec) (*Process, error) {
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return nil, &StartError{exitNotFound, "no command"}
	}
	path, err := t.resolve(s)
	if err != nil {
		return nil, err
	}
	p := &Process{table: t, done: make(chan struct{})}
	theirs, err := p.connect(t, s)
	defer closeAll(theirs[:])
	if err != nil {
		p.Close()
		return nil, err
	}
	if err := t.fork(p, path, s, theirs); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (t *Table) fork(p *Process, path string, s Spec, stdio [3]int) error {
	attr := &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   s.Env,
		Files: []uintptr{uintptr(stdio[0]), uintptr(stdio[1]), uintptr(stdio[2])},
		Sys: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: t.UID, Gid: t.GID},
			Setsid:     true,
			Setctty:    s.TTY != nil,
		},
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping {
		return ErrStopping
	}
	pid, err := syscall.ForkExec(path, s.Argv, attr)
	if err != nil {
		return startError(s.Argv[0], err)
	}
	p.pid = pid
	t.procs[pid] = p
	return nil
}

// startError words what execve said of name.
func startError(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return &StartError{exitNotFound, name + ": no such file, or its interpreter is missing"}
	case errors.Is(err, syscall.EINVAL): // a NUL byte in an argument, by Go
		return &StartError{exitNotExecutable, name + ": invalid argument"}
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("start %s: %w", name, err)
	}
	return &StartError{exitNotExecutable, name + ": " + err.Error()}
}

func closeAll(fds []int) {
	for i, fd := range fds {
		// One end of a terminal stands for all three.
		if fd >= 0 && (i == 0 || fd != fds[i-1]) {
			syscall.Close(fd) // only the child wrote to it
		}
	}
}
