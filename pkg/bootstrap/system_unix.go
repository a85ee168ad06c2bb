//go:build unix

package bootstrap

import (
	"errors"
	"syscall"
)

func notLocal(err error) bool { return errors.Is(err, syscall.EADDRNOTAVAIL) }

func addressInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
