package bootstrap

import (
	"errors"
	"syscall"
)

// WSAEADDRINUSE and WSAEADDRNOTAVAIL, which package syscall does not name.
const (
	wsaAddrInUse    = syscall.Errno(10048)
	wsaAddrNotAvail = syscall.Errno(10049)
)

func notLocal(err error) bool { return errors.Is(err, wsaAddrNotAvail) }

func addressInUse(err error) bool { return errors.Is(err, wsaAddrInUse) }
