//go:build linux

package supervisor

import (
	"fmt"
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// harden makes sure, before anything of the user's runs, that nothing of it can
// gain what this process has: it inherits no file, and neither a setuid program
// nor a file capability gives it a privilege. Nor may it look into this process.
func harden() error {
	syscall.Umask(0o022)
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("dumpable: %w", err)
	}
	// A child inherits from the thread that forks: all must have it.
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	// Dropping needs CAP_SETPCAP, which the pod does not have; no_new_privs and
	// the change of user leave a child without capabilities anyway.
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0, 0); errno != 0 {
			break
		}
	}
	return nil
}
