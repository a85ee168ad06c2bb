package release

import (
	"archive/tar"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"openshell.ai/openshell/pkg/durable"
)

// Pack packs the release in from into a directory of builds, signs its manifest,
// and makes it the current one in one step. The same release and commit give
// the same bytes. The build before stays for those who are fetching it.
func Pack(from, out, commit string, key ed25519.PrivateKey) (Manifest, error) {
	if err := Check(from); err != nil {
		return Manifest{}, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return Manifest{}, err
	}
	stage, err := os.MkdirTemp(out, ".new-")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(stage)
	archive := filepath.Join(stage, "archive")
	manifest, err := packFile(from, archive)
	if err != nil {
		return Manifest{}, fmt.Errorf("pack %s: %w", from, err)
	}
	manifest.Commit = commit
	manifest.File = "gateway-" + manifest.SHA256[:12] + ".tar.gz"
	if err := manifest.check(); err != nil {
		return Manifest{}, err
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return Manifest{}, err
	}
	data = append(data, '\n')
	// The archive may be that of another commit.
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	err = errors.Join(
		os.Rename(archive, filepath.Join(stage, manifest.File)),
		os.WriteFile(filepath.Join(stage, manifestFile), data, 0o644),
		os.WriteFile(filepath.Join(stage, signatureFile), sign(key, data), 0o644),
		os.Chmod(stage, 0o755))
	if err != nil {
		return Manifest{}, err
	}
	place := filepath.Join(out, name)
	before, _ := os.Readlink(filepath.Join(out, currentLink))
	if before == name {
		// Packed before: only the key may be another.
		return manifest, durable.WriteFile(filepath.Join(place, signatureFile), sign(key, data), 0o644)
	}
	if err := os.RemoveAll(place); err != nil {
		return Manifest{}, err
	}
	if err := os.Rename(stage, place); err != nil {
		return Manifest{}, err
	}
	if err := link(out, currentLink, name); err != nil {
		return Manifest{}, err
	}
	return manifest, prune(out, name, before)
}

// packFile writes the archive and says its size and sum.
func packFile(from, path string) (Manifest, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Manifest{}, err
	}
	defer file.Close()
	sum, size := sha256.New(), new(counter)
	// A developer waits for it, and it travels a bridge.
	zip, err := gzip.NewWriterLevel(io.MultiWriter(file, sum, size), gzip.BestSpeed)
	if err != nil {
		return Manifest{}, err
	}
	archive := tar.NewWriter(zip)
	for _, part := range parts {
		if err := packTree(archive, from, part); err != nil {
			return Manifest{}, err
		}
	}
	if err := errors.Join(archive.Close(), zip.Close(), file.Close()); err != nil {
		return Manifest{}, err
	}
	return Manifest{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: int64(*size)}, nil
}

// packTree adds a directory; its files come in the order of their names, and
// have neither time nor owner.
func packTree(archive *tar.Writer, root, part string) error {
	return fs.WalkDir(os.DirFS(root), part, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		switch {
		case info.IsDir():
			header.Name, header.Mode, header.Typeflag = path+"/", 0o755, tar.TypeDir
			return archive.WriteHeader(header)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", path)
		case info.Mode()&0o100 != 0:
			header.Mode = 0o755
		}
		header.Size = info.Size()
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		file, err := os.Open(filepath.Join(root, path))
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(archive, file)
		return err
	})
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
