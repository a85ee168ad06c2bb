//go:build !windows

package cli

import (
	"os/exec"
	"os/signal"
	"syscall"
)

// detached makes cmd a process that outlives this one and its terminal.
func detached(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// ignoreHangup lets a process end by itself when ssh, which started it, ends.
func ignoreHangup() { signal.Ignore(syscall.SIGHUP) }
