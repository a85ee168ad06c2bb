package bootstrap

import (
	"errors"
	"syscall"
)

// wsaAddrInUse is WSAEADDRINUSE, which package syscall does not name.
const wsaAddrInUse = syscall.Errno(10048)

func addressInUse(err error) bool { return errors.Is(err, wsaAddrInUse) }
