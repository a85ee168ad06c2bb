package charts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"openshell.ai/openshell/pkg/nodeapi"
)

// settle is how long the deploy directory must be quiet before it counts.
const settle = 200 * time.Millisecond

// watch sends once after every burst of changes below the deploy directory.
func watch(ctx context.Context) (<-chan struct{}, error) {
	if err := os.MkdirAll(nodeapi.DeployDir, 0o700); err != nil {
		return nil, fmt.Errorf("deploy directory: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("deploy directory: %w", err)
	}
	if err := addAll(watcher, nodeapi.DeployDir); err != nil {
		return nil, errors.Join(fmt.Errorf("deploy directory: %w", err), watcher.Close())
	}
	changes := make(chan struct{}, 1)
	go func() {
		defer watcher.Close()
		quiet := time.NewTimer(settle)
		quiet.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-watcher.Errors: //nolint:errcheck // an overflow: what matters is that something changed
				quiet.Reset(settle)
			case event := <-watcher.Events:
				if event.Has(fsnotify.Create) {
					// A new directory; for a file, or one that is gone again, there is nothing to add.
					_ = addAll(watcher, event.Name)
				}
				quiet.Reset(settle)
			case <-quiet.C:
				select {
				case changes <- struct{}{}:
				default:
				}
			}
		}
	}()
	return changes, nil
}

func addAll(watcher *fsnotify.Watcher, root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return watcher.Add(path)
		}
		return nil
	})
}
