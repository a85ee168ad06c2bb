//go:build !linux

package bootstrap

// routes are known from the interfaces alone here.
func routes() ([]HostRange, error) { return nil, nil }

// listener is not known here.
func listener(int, string) (string, bool) { return "", false }
