package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// maxFile bounds what ReadFile reads.
const maxFile = 1 << 20

func (d *engine) ReadFile(ctx context.Context, ref, name string) ([]byte, error) {
	res, err := d.api.CopyFromContainer(ctx, ref, client.CopyFromContainerOptions{SourcePath: name})
	if err != nil {
		return nil, d.fail(opReadFile, name, err)
	}
	data, err := untarFile(res.Content)
	return data, d.fail(opReadFile, name, errors.Join(err, res.Content.Close()))
}

// untarFile reads an archive of one regular file. Errors say what else it is.
func untarFile(archive io.Reader) ([]byte, error) {
	r := tar.NewReader(archive)
	h, err := r.Next()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF // the engine went away before it wrote an entry
	}
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("not a regular file (type %q)", h.Typeflag)
	}
	if h.Size > maxFile {
		return nil, fmt.Errorf("%d bytes, at most %d are read", h.Size, maxFile)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return data, nil
}

func (d *engine) WriteFile(ctx context.Context, ref, name string, mode int64, data []byte) error {
	const op = "write file"
	if !path.IsAbs(name) || path.Clean(name) == "/" {
		return &Error{Kind: Other, Op: op, Ref: name, Err: errors.New("the path must be absolute and name a file")}
	}
	base, missing, err := d.existingParent(ctx, ref, path.Clean(name))
	if err != nil {
		return d.fail(op, name, err)
	}
	archive, err := tarFile(missing, path.Base(name), mode, data, time.Now())
	if err != nil {
		return d.fail(op, name, err)
	}
	_, err = d.api.CopyToContainer(ctx, ref, client.CopyToContainerOptions{DestinationPath: base, Content: bytes.NewReader(archive)})
	return d.fail(op, name, err)
}

// existingParent is the nearest directory above name that exists, and the
// names of those missing between it and name, outermost first. Directories
// that exist must not be in the archive: extracting it would set their mode.
func (d *engine) existingParent(ctx context.Context, ref, name string) (base string, missing []string, err error) {
	for base = path.Dir(name); ; base = path.Dir(base) {
		_, err = d.api.ContainerStatPath(ctx, ref, client.ContainerStatPathOptions{Path: base})
		if err == nil || !cerrdefs.IsNotFound(err) || base == "/" {
			break
		}
		missing = append(missing, path.Base(base))
	}
	slices.Reverse(missing)
	return base, missing, err
}

// tarFile is an archive of a file under the directories dirs, which get the
// mode 0700. All belong to root.
func tarFile(dirs []string, name string, mode int64, data []byte, now time.Time) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	at := ""
	for _, dir := range dirs {
		at = path.Join(at, dir)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: at + "/", Mode: 0o700, ModTime: now}); err != nil {
			return nil, err
		}
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(at, name), Mode: mode, Size: int64(len(data)), ModTime: now}
	if err := w.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return buf.Bytes(), err
}
