//go:build !linux && !darwin

package hostconfig

import "errors"

// exchange is not offered by this operating system.
func exchange(_, _ string) error { return errors.ErrUnsupported }
