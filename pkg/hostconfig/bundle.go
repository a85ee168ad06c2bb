package hostconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/gateway"
)

const (
	caFile   = "ca.crt"
	certFile = "tls.crt"
	keyFile  = "tls.key"

	oldBundle  = ".mtls-old" // the bundle while mtls is being replaced without an exchange
	newBundles = ".mtls-new-"
)

// files lists the bundle's files in the order they are read and written.
func (b *Bundle) files() []bundleFile {
	return []bundleFile{{caFile, &b.CA}, {certFile, &b.Cert}, {keyFile, &b.Key}}
}

type bundleFile struct {
	name    string
	content *[]byte
}

// Bundle reads the gateway's mTLS bundle, all three files of the same writing.
// When one of them is missing the bundle is, and the error is fs.ErrNotExist.
func (s *Store) Bundle(name gateway.Name) (Bundle, error) {
	dir := s.GatewayDir(name)
	// A writer that cannot exchange two directories moves the old one away for
	// a moment, or for longer if it was killed in that moment; looking at the
	// first place once more covers a replacement between the two looks.
	var err error
	for _, place := range []string{bundleDir, oldBundle, bundleDir} {
		var b Bundle
		b, err = readBundle(filepath.Join(dir, place))
		if !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	return Bundle{}, fmt.Errorf("mTLS bundle of gateway %s: %w", name, err)
}

func readBundle(dir string) (Bundle, error) {
	// The open directory stays the same one when another takes its name.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Bundle{}, readError(dir, err)
	}
	defer root.Close()
	var b Bundle
	for _, f := range b.files() {
		if *f.content, err = root.ReadFile(f.name); err != nil {
			return Bundle{}, readError(filepath.Join(dir, f.name), err)
		}
	}
	return b, nil
}

// WriteBundle replaces the gateway's mTLS bundle as a whole and reports whether
// content or modes were different before.
func (s *Store) WriteBundle(name gateway.Name, b Bundle) (changed bool, err error) {
	for _, f := range b.files() {
		if len(*f.content) == 0 {
			return false, fmt.Errorf("mTLS bundle of gateway %s: %s is empty", name, f.name)
		}
	}
	dir := s.GatewayDir(name)
	if err := makeDir(dir); err != nil {
		return false, err
	}
	// Also of a writer that was killed when its bundle was in place.
	if err := removeLeftovers(dir); err != nil {
		return false, err
	}
	same, err := sameBundle(filepath.Join(dir, bundleDir), b)
	if err != nil || same {
		return false, err
	}
	fresh, err := os.MkdirTemp(dir, newBundles+"*") // made 0700
	if err != nil {
		return false, unwritable(dir, err)
	}
	if err := fillBundle(fresh, b); err != nil {
		os.RemoveAll(fresh)
		return false, unwritable(fresh, err)
	}
	target := filepath.Join(dir, bundleDir)
	err = s.commit(target, func() error { return replaceDir(fresh, target, filepath.Join(dir, oldBundle)) })
	if err != nil {
		os.RemoveAll(fresh)
		return false, unwritable(target, err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return false, unwritable(dir, err)
	}
	// The old bundle has served; what is left of it goes with the next writing.
	os.RemoveAll(fresh)
	os.RemoveAll(filepath.Join(dir, oldBundle))
	return true, nil
}

// sameBundle reports whether dir holds b with the modes it should have.
func sameBundle(dir string, b Bundle) (bool, error) {
	present, err := readBundle(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !bytes.Equal(present.CA, b.CA) || !bytes.Equal(present.Cert, b.Cert) || !bytes.Equal(present.Key, b.Key) {
		return false, nil
	}
	for path, want := range map[string]fs.FileMode{
		dir: dirMode, filepath.Join(dir, caFile): fileMode, filepath.Join(dir, certFile): fileMode, filepath.Join(dir, keyFile): fileMode,
	} {
		private, err := hasMode(path, want)
		if err != nil || !private {
			return false, err
		}
	}
	return true, nil
}

func fillBundle(dir string, b Bundle) error {
	for _, f := range b.files() {
		file, err := os.OpenFile(filepath.Join(dir, f.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return err
		}
		if err := fillFile(file, *f.content); err != nil {
			return err
		}
	}
	return durable.SyncDir(dir)
}

// removeLeftovers deletes what writers that were killed left behind. The old
// bundle goes only when its successor is in place.
func removeLeftovers(dir string) error {
	if err := removeUnfinished(dir, newBundles); err != nil {
		return unwritable(dir, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, bundleDir)); err == nil {
		old := filepath.Join(dir, oldBundle)
		if err := os.RemoveAll(old); err != nil {
			return unwritable(old, err)
		}
	}
	return nil
}

// replaceDir puts the directory fresh in the place of target, in one step where
// the file system can, else by way of aside.
func replaceDir(fresh, target, aside string) error {
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(fresh, target)
	}
	if err := exchange(fresh, target); err == nil {
		return nil
	}
	if err := os.Rename(target, aside); err != nil {
		return err
	}
	return os.Rename(fresh, target)
}
