package cli

import "os"

// resized never signals: Windows has no signal for it, so a command in the
// node keeps the size it started with.
func resized() (changed <-chan os.Signal, stop func()) {
	return nil, func() {}
}
