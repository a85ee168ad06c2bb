package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/gofrs/flock"

	"openshell.ai/openshell/pkg/durable"
)

const (
	releasesDir = "releases"

	// pendingFile, in root, names what current led to before it was led to a release
	// that has not answered yet: whoever finds it goes back there. Who sees the new
	// release answer removes it.
	pendingFile = "pending"
)

// Installed is what Install found and did.
type Installed struct {
	Commit   string `json:"commit"`
	SHA256   string `json:"sha256"`
	Changed  bool   `json:"changed"`
	Previous string `json:"previous"` // what current pointed to: to go back
}

// Install fetches the source's current build and points current, in root, to it
// in one step. A build that cannot be had, or is not whole, changes nothing. The
// release that was used before is kept, older ones are not, and the file pending
// names it until the new one has answered.
func Install(ctx context.Context, source Source, root string) (Installed, error) {
	releases := filepath.Join(root, releasesDir)
	if err := os.MkdirAll(releases, 0o755); err != nil {
		return Installed{}, err
	}
	lock := flock.New(filepath.Join(root, ".fetch.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return Installed{}, fmt.Errorf("lock %s: %w", root, err)
	}
	if !locked {
		return Installed{}, errors.New("another build is being fetched")
	}
	defer lock.Close()

	file, err := os.CreateTemp(releases, ".download-")
	if err != nil {
		return Installed{}, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	manifest, err := source.download(ctx, file)
	if err != nil {
		return Installed{}, err
	}
	previous, err := os.Readlink(filepath.Join(root, currentLink))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Installed{}, fmt.Errorf("which release is used: %w", err)
	}
	target := path.Join(releasesDir, manifest.SHA256)
	installed := Installed{Commit: manifest.Commit, SHA256: manifest.SHA256, Changed: previous != target, Previous: previous}
	place := filepath.Join(releases, manifest.SHA256)
	if Check(place) != nil {
		if err := install(file, place); err != nil {
			return Installed{}, err
		}
	}
	if !installed.Changed {
		return installed, nil
	}
	if previous != "" {
		if err := durable.WriteFile(filepath.Join(root, pendingFile), []byte(previous+"\n"), 0o644); err != nil {
			return Installed{}, fmt.Errorf("note which release is used: %w", err)
		}
	}
	if err := link(root, currentLink, target); err != nil {
		return Installed{}, fmt.Errorf("switch to the release: %w", err)
	}
	// What is left over costs space and nothing else; the next one takes it away.
	_ = prune(releases, manifest.SHA256, path.Base(previous))
	return installed, nil
}

// install unpacks an archive to a place of its own; it is all there or not at all.
func install(archive io.ReadSeeker, place string) error {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(filepath.Dir(place), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	if err := unpack(archive, stage); err != nil {
		return err
	}
	if err := Check(stage); err != nil {
		return err
	}
	if err := os.Chmod(stage, 0o755); err != nil {
		return err
	}
	// What stands there is not whole.
	if err := os.RemoveAll(place); err != nil {
		return err
	}
	if err := os.Rename(stage, place); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(place))
}
