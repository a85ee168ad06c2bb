// Package release packs, serves, fetches and installs builds of the edge: the
// scripts and app-gateway, one directory that is used as a whole. A build is
// believed for the signature of its manifest, not for where it comes from.
package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// What a build may be at most.
const (
	MaxArchive  = 256 << 20 // bytes as packed
	MaxUnpacked = 1 << 30   // bytes of all files
	MaxEntries  = 2000      // files and directories

	maxManifest  = 64 << 10
	maxSignature = 1 << 10
)

// Names of what stands beside a packed build.
const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.json.sig"
	currentLink   = "current"
)

// parts are the directories of a release; there is nothing else in it.
var parts = []string{"app", "bin"}

// Manifest says which build an archive is. Its signature is made over the very bytes of it.
type Manifest struct {
	Commit string `json:"commit"`
	SHA256 string `json:"sha256"` // of the archive, and the release's name
	Size   int64  `json:"size"`   // of the archive
	File   string `json:"file"`   // the archive's name, beside the manifest
}

var (
	commitForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,99}$`)
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
	fileForm   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,99}\.tar\.gz$`)
)

// ParseManifest reads a manifest and checks each field.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if len(data) > maxManifest {
		return Manifest{}, fmt.Errorf("manifest: longer than %d bytes", maxManifest)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, m.check()
}

func (m Manifest) check() error {
	switch {
	case !commitForm.MatchString(m.Commit):
		return fmt.Errorf("manifest: commit %q is not 1 to 100 letters, digits and . + _ -", m.Commit)
	case !sha256Form.MatchString(m.SHA256):
		return fmt.Errorf("manifest: sha256 %q is not 64 hex digits", m.SHA256)
	case m.Size <= 0 || m.Size > MaxArchive:
		return fmt.Errorf("manifest: size %d is not between 1 and %d", m.Size, MaxArchive)
	case !fileForm.MatchString(m.File):
		return fmt.Errorf("manifest: file %q is not the name of a .tar.gz", m.File)
	}
	return nil
}

// needed is what every release has; what stands in bin, and the scripts that
// are run as programs, can be executed.
var needed = []struct {
	path       string
	executable bool
}{
	{"bin/app-gateway", true},
	{"app/main.sh", true},
	{"app/entrypoint-dev.sh", true},
	{"app/config.conf", false},
	{"app/lib/common.sh", false},
	{"app/lib/start-vpn.sh", true},
	{"app/lib/stop-vpn.sh", true},
	{"app/lib/start-app-gateway.sh", true},
	{"app/lib/stop-app-gateway.sh", true},
	{"app/lib/reload-gateway.sh", true},
	{"app/lib/reset-nginx.sh", true},
	{"app/lib/stop-nginx.sh", true},
	{"app/bin/update-nginx-locations.sh", true},
	{"app/bin/reset-gateway.sh", true},
}

// Check reports what a release in dir lacks.
func Check(dir string) error {
	for _, want := range needed {
		info, err := os.Lstat(filepath.Join(dir, want.path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the release is not complete: %s is missing", want.path)
		case err != nil:
			return fmt.Errorf("check the release: %w", err)
		case !info.Mode().IsRegular() || info.Size() == 0:
			return fmt.Errorf("the release is not complete: %s is not a file with content", want.path)
		case want.executable && info.Mode()&0o100 == 0:
			return fmt.Errorf("the release is not complete: %s cannot be executed", want.path)
		}
	}
	return nil
}
