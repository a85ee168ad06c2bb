//go:build linux

package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// connect makes the streams of p, and returns the other ends: file descriptors
// 0 to 2 of the process, -1 where there is none. They belong to the sandbox user,
// who may open them again by way of /dev/stdout.
func (p *Process) connect(t *Table, s Spec) ([3]int, error) {
	theirs := [3]int{-1, -1, -1}
	if s.TTY != nil {
		master, terminal, err := openTerminal(t, *s.TTY)
		if err != nil {
			return theirs, err
		}
		p.tty, p.Stdout = master, master
		return [3]int{terminal, terminal, terminal}, nil
	}
	var err error
	if s.Stdin {
		p.stdin, theirs[0], err = t.pipe(1)
	} else {
		theirs[0], err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		p.Stdout, theirs[1], err = t.pipe(0)
	}
	if err == nil {
		p.Stderr, theirs[2], err = t.pipe(0)
	}
	return theirs, err
}

// pipe returns our end (0 reads, 1 writes) and the other.
func (t *Table) pipe(our int) (*os.File, int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("pipe: %w", err)
	}
	theirs := ends[1-our]
	err := unix.Fchown(theirs, int(t.UID), int(t.GID))
	if err == nil {
		err = unix.SetNonblock(ends[our], true)
	}
	if err != nil {
		closeAll(ends[:])
		return nil, -1, fmt.Errorf("pipe: %w", err)
	}
	return os.NewFile(uintptr(ends[our]), "pipe"), theirs, nil
}

// openTerminal returns the master, and the terminal as a file descriptor.
func openTerminal(t *Table, size Size) (*os.File, int, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("terminal: %w", err)
	}
	terminal, err := unlock(master)
	if err == nil {
		err = unix.Fchown(terminal, int(t.UID), int(t.GID))
	}
	if err != nil {
		closeAll([]int{master, terminal})
		return nil, -1, fmt.Errorf("terminal: %w", err)
	}
	setSize(master, size)
	// Without it the line editor of the kernel takes off a byte where the
	// user takes off a character.
	if mode, err := unix.IoctlGetTermios(terminal, unix.TCGETS); err == nil {
		mode.Iflag |= unix.IUTF8
		unix.IoctlSetTermios(terminal, unix.TCSETS, mode) //nolint:errcheck // cosmetic
	}
	return os.NewFile(uintptr(master), "terminal"), terminal, nil
}

// unlock returns the terminal of a master, without a look at any /dev/pts: the
// image's may be something else.
func unlock(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
