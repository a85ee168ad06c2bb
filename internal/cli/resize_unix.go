//go:build !windows

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// resized signals every change of the terminal's size.
func resized() (changed <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	return signals, func() { signal.Stop(signals) }
}
