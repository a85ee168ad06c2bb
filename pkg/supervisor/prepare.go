//go:build linux

package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// prepare gives the sandbox user the workspace, and keeps the state to itself.
func prepare(cfg Config) error {
	if err := own(cfg.Workspace); err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := os.Chmod(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// own acts once in the life of a workspace, and on the directory alone: what is
// in it is the user's.
func own(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Sys().(*syscall.Stat_t).Uid == sandboxapi.UID:
		return nil
	default:
		// Before the owner changes: root without capabilities can do it to its own only.
		if err := os.Chmod(dir, 0o755); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return os.Chown(dir, sandboxapi.UID, sandboxapi.GID)
}
