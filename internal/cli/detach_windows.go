package cli

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// detached makes cmd a process that outlives this one and its console.
func detached(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// ignoreHangup does nothing: Windows hangs nothing up.
func ignoreHangup() {}
