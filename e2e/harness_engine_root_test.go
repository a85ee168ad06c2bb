//go:build e2e || soak || bench

package e2e

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// engineData is the data directory of an engine that holds the node image.
// Loading the image takes ten seconds, copying its files by links less than one.
type engineData struct {
	mu     sync.Mutex
	dir    string
	loaded bool
}

var preparedData engineData

func (d *engineData) root() string { return filepath.Join(d.dir, "root") }

// copyTo makes a data directory for another engine. Image layers are never
// written to, so they are shared; everything else is a copy.
func (d *engineData) copyTo(t *testing.T, root string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded {
		d.load(t)
	}
	run(t, nil, "", "sh", "-euc", `
		mkdir "$2"
		find "$1" -mindepth 1 -maxdepth 1 -not -name overlay2 -exec cp -a -t "$2" {} +
		if [ -d "$1/overlay2" ]; then cp -a --link "$1/overlay2" "$2"; fi`, "sh", d.root(), root).Exits(t, 0)
}

// load has an engine load the image, and keeps what it made of it.
func (d *engineData) load(t *testing.T) {
	t.Helper()
	if d.dir == "" {
		dir, err := os.MkdirTemp("", enginePrefix)
		if err != nil {
			t.Fatal(err)
		}
		d.dir = dir
	}
	e := emptyEngine(t)
	e.Start(t)
	run(t, nil, "", "sh", "-euc", `docker image save "$1" | docker --host "unix://$2" image load --quiet`, "sh", nodeImage(t), e.Socket()).Exits(t, 0)
	e.Stop(t)
	if err := os.Rename(e.root(), d.root()); err != nil {
		t.Fatal(err)
	}
	d.loaded = true
}

// remove is for the end of all tests.
func (d *engineData) remove() error {
	if d.dir == "" {
		return nil
	}
	return os.RemoveAll(d.dir)
}
