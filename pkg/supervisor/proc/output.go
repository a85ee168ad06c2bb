//go:build linux

package proc

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// straggling is how long output is awaited after the process itself has
	// ended: until the pipe is closed, if no background process holds it.
	straggling = 500 * time.Millisecond
	// leftover is how much is still taken from the pipe after that. A pipe of
	// the usual size holds 64 KiB.
	leftover = 1 << 20
	chunk    = 32 << 10
)

// Copy hands the output of one stream to out until it ends, which it does at
// the latest soon after the process has; all that the process itself wrote is
// in it. A nil stream is empty. An error is one of out.
func (p *Process) Copy(out io.Writer, from *os.File) error {
	if from == nil {
		return nil
	}
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-p.done:
			from.SetReadDeadline(time.Now().Add(straggling)) //nolint:errcheck // closed: no need
		case <-stopped:
		}
	}()
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return takeRest(out, from, buf)
		case err != nil: // a terminal ends with EIO
			return nil
		}
	}
}

// takeRest copies what a pipe holds, without waiting for more.
func takeRest(out io.Writer, from *os.File, buf []byte) error {
	if err := from.SetReadDeadline(time.Time{}); err != nil {
		return nil
	}
	raw, err := from.SyscallConn()
	if err != nil {
		return nil
	}
	for taken := 0; taken < leftover; {
		n, failure := 0, error(nil)
		closed := raw.Read(func(fd uintptr) bool {
			n, failure = syscall.Read(int(fd), buf)
			return true
		})
		switch {
		case closed == nil && errors.Is(failure, syscall.EINTR):
			continue
		case closed != nil || n <= 0:
			return nil
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		taken += n
	}
	return nil
}
