package main

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// epoch is the modification time of everything the tool itself puts into an
// image, so that the same content gives the same digest on every machine.
var epoch = time.Unix(0, 0)

// file is a host file and its absolute place in the image.
type file struct {
	Source string
	Target string
}

// parseFile reads the form SOURCE=/TARGET.
func parseFile(s string) (file, error) {
	source, target, ok := strings.Cut(s, "=")
	if !ok || source == "" || !path.IsAbs(target) || path.Clean(target) != target {
		return file{}, fmt.Errorf("file %q is not of the form SOURCE=/ABSOLUTE/TARGET", s)
	}
	return file{Source: source, Target: target}, nil
}

// layer is one layer of an image, stored in a temporary file.
type layer struct {
	Path      string
	MediaType string
	Digest    string // of the bytes as stored
	DiffID    string // of the uncompressed tar
	Size      int64
}

// window is how far back the compression looks for repetitions, in bytes. The
// node takes as much memory to unpack the layer.
const window = 16 << 20

// uncompressed is the level of a layer that is stored as it is.
const uncompressed zstd.EncoderLevel = 0

// writeLayer writes a layer holding rootfs (may be empty: none) and files on
// top of it into dir. The caller removes the file; after an error there is none.
func writeLayer(dir, rootfs string, files []file, level zstd.EncoderLevel) (l layer, err error) {
	f, err := os.CreateTemp(dir, ".layer-*")
	if err != nil {
		return layer{}, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(f.Name())
		}
	}()

	stored, plain := sha256.New(), sha256.New()
	out := io.MultiWriter(f, stored)
	l = layer{Path: f.Name(), MediaType: mediaTypeLayer}
	content := out
	var packed *zstd.Encoder
	if level != uncompressed {
		l.MediaType += "+zstd"
		// One worker, so that the bytes are the same on every machine.
		packed, err = zstd.NewWriter(out, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
		if err != nil {
			return layer{}, err
		}
		content = packed
	}
	tw := tar.NewWriter(io.MultiWriter(content, plain))
	if rootfs != "" {
		if err := copyRootfs(tw, rootfs); err != nil {
			return layer{}, fmt.Errorf("root file system %s: %w", rootfs, err)
		}
	}
	if err := addFiles(tw, files); err != nil {
		return layer{}, err
	}
	if err := tw.Close(); err != nil {
		return layer{}, err
	}
	if packed != nil {
		if err := packed.Close(); err != nil {
			return layer{}, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return layer{}, err
	}
	l.Size = info.Size()
	l.Digest = fmt.Sprintf("sha256:%x", stored.Sum(nil))
	l.DiffID = fmt.Sprintf("sha256:%x", plain.Sum(nil))
	return l, nil
}

// copyRootfs copies a root file system. Device nodes are left out: the
// container runtime makes its own, and a node that unpacks the image may not
// be allowed to make any.
func copyRootfs(tw *tar.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(h.Name, "./")
		if h.Name == "" || h.Name == ".dockerenv" || h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = strings.TrimPrefix(h.Linkname, "./")
		}
		h.Uname, h.Gname = "", ""
		h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// addFiles adds files owned by root, and the directories above them.
func addFiles(tw *tar.Writer, files []file) error {
	sort.Slice(files, func(i, j int) bool { return files[i].Target < files[j].Target })
	made := map[string]bool{"/": true}
	for _, f := range files {
		if err := addDirs(tw, path.Dir(f.Target), made); err != nil {
			return err
		}
		if err := addFile(tw, f); err != nil {
			return fmt.Errorf("file %s: %w", f.Target, err)
		}
	}
	return nil
}

func addDirs(tw *tar.Writer, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := addDirs(tw, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755, ModTime: epoch})
}

func addFile(tw *tar.Writer, f file) error {
	in, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Target[1:], Mode: mode, Size: info.Size(), ModTime: epoch}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(tw, in)
	return err
}
