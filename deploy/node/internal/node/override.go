package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"openshell.ai/openshell/pkg/nodeapi"
)

// mountSupervisor puts the supervisor of a fast deploy, if there is one, over
// that of the image. Sandboxes mount the directory under one name whichever it is.
func mountSupervisor() error {
	dir := filepath.Join(nodeapi.DeployDir, "bin")
	_, err := os.Stat(filepath.Join(dir, nodeapi.Supervisor))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deployed supervisor: %w", err)
	}
	if err := unix.Mount(dir, nodeapi.SupervisorDir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("deployed supervisor: %w", err)
	}
	return nil
}
