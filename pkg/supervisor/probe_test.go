//go:build linux

package supervisor_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const probeName = "probe"

// probe is this program inside a sandbox: it tries what a hostile process would
// that has no tool for it in the image, and prints what came of it.
func probe(args []string) int {
	verdict := func(what string, err error) {
		if err == nil {
			fmt.Println(what, "WORKED")
		} else {
			fmt.Println(what, "refused")
		}
	}
	switch args[0] {
	case "hello":
		fmt.Println("hello from", os.Getuid())
	case "attack":
		verdict("ptrace attach", unix.PtraceAttach(1))
		verdict("ptrace seize", unix.PtraceSeize(1))
		buf := make([]byte, 16)
		_, err := unix.ProcessVMReadv(1, []unix.Iovec{{Base: &buf[0], Len: 16}}, []unix.RemoteIovec{{Base: 0x400000, Len: 16}}, 0)
		verdict("read memory", err)
		if pid, err := unix.PidfdOpen(1, 0); err == nil {
			_, err = unix.PidfdGetfd(pid, 3, 0)
			verdict("take a file", err)
			verdict("signal by pidfd", unix.PidfdSendSignal(pid, unix.SIGTERM, nil, 0))
		}
		for _, name := range []string{"environ", "mem", "maps", "exe", "root", "cwd", "fd", "stack", "auxv"} {
			path := "/proc/1/" + name
			_, readErr := os.ReadFile(path)
			_, linkErr := os.Readlink(path)
			_, dirErr := os.ReadDir(path)
			for _, err := range []error{readErr, linkErr, dirErr} {
				if err == nil {
					readErr = nil
				}
			}
			verdict(path, readErr)
		}
		for _, signal := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGCHLD} {
			verdict("signal "+signal.String(), syscall.Kill(1, signal))
		}
		verdict("become root", syscall.Setuid(0))
		verdict("take groups", syscall.Setgroups([]int{0}))
		verdict("chown", os.Chown("/tmp/setuid-id", 1000, 1000))
		verdict("new priority", syscall.Setpriority(syscall.PRIO_PROCESS, 0, 5))
	case "sessions":
		sid, _ := unix.Getsid(0)
		fmt.Println(sid == os.Getpid(), syscall.Getpgrp() == os.Getpid())
	case "unix-server": // answers one connection with who is at the other end
		l, err := net.Listen("unix", args[1])
		if err != nil {
			return 1
		}
		conn, err := l.Accept()
		if err != nil {
			return 1
		}
		raw, _ := conn.(*net.UnixConn).SyscallConn()
		raw.Control(func(fd uintptr) {
			peer, _ := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
			fmt.Fprintln(conn, "uid", peer.Uid)
		})
		io.Copy(conn, conn)
		conn.Close()
	}
	return 0
}
