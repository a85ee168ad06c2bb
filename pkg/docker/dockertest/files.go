package dockertest

import (
	"context"
	"path"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/docker"
)

// File is a regular file.
type File struct {
	Mode int64
	Data []byte
}

const maxFile = 1 << 20

// place says which map holds a path of a container, and under which key:
// relative to the mount point for a volume. The lock is held.
func (f *Fake) place(c *container, p string) (files map[string]File, key string) {
	p = path.Clean("/" + p)
	best := ""
	for mount := range c.Volumes {
		mount = path.Clean(mount)
		if (p == mount || strings.HasPrefix(p, mount+"/")) && len(mount) > len(best) {
			best = mount
		}
	}
	if best == "" {
		return c.files, p
	}
	v := f.volumes[c.Volumes[best]]
	return v.files, strings.TrimPrefix(strings.TrimPrefix(p, best), "/")
}

func (f *Fake) lookup(c *container, p string) (File, bool) {
	files, key := f.place(c, p)
	if file, ok := files[key]; ok {
		return file, true
	}
	if img := f.findImage(c.ImageID); img != nil {
		file, ok := img.files[key]
		return file, ok
	}
	return File{}, false
}

// isDir reports whether a path is a mount point, or the parent of a file.
func (f *Fake) isDir(c *container, p string) bool {
	p = path.Clean("/" + p)
	if _, mounted := c.Volumes[p]; mounted || p == "/" {
		return true
	}
	files, key := f.place(c, p)
	for name := range files {
		if strings.HasPrefix(name, key+"/") {
			return true
		}
	}
	return false
}

// ReadFile implements docker.Engine.
func (f *Fake) ReadFile(ctx context.Context, ref, p string) ([]byte, error) {
	return do(ctx, f, Call{Op: "ReadFile", Ref: ref, Note: p}, func() ([]byte, error) {
		const op = "read file"
		c, err := f.get(op, ref)
		if err != nil {
			return nil, err
		}
		if f.isDir(c, p) {
			return nil, docker.NewError(docker.Other, op, p, "not a regular file")
		}
		file, ok := f.lookup(c, p)
		if !ok {
			return nil, docker.NewError(docker.FileNotFound, op, p, "Could not find the file %s in container %s", p, ref)
		}
		if len(file.Data) > maxFile {
			return nil, docker.NewError(docker.Other, op, p, "%d bytes, at most %d are read", len(file.Data), maxFile)
		}
		return slices.Clone(file.Data), nil
	})
}

// WriteFile implements docker.Engine.
func (f *Fake) WriteFile(ctx context.Context, ref, p string, mode int64, data []byte) error {
	return do0(ctx, f, Call{Op: "WriteFile", Ref: ref, Note: p}, func() error {
		const op = "write file"
		c, err := f.get(op, ref)
		if err != nil {
			return err
		}
		if !path.IsAbs(p) || f.isDir(c, p) {
			return docker.NewError(docker.Other, op, p, "the path must be absolute and name a file")
		}
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			if _, isFile := f.lookup(c, dir); isFile {
				return docker.NewError(docker.Other, op, p, "%s is not a directory", dir)
			}
		}
		files, key := f.place(c, p)
		files[key] = File{Mode: mode, Data: slices.Clone(data)}
		return nil
	})
}

// PutFile writes a file as a process in the container would.
func (f *Fake) PutFile(ref, p string, mode int64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	files, key := f.place(f.must(ref), p)
	files[key] = File{Mode: mode, Data: slices.Clone(data)}
}

// File is a file as a process in the container sees it.
func (f *Fake) File(ref, p string) (File, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookup(f.must(ref), p)
}

// VolumeFiles are a volume's files by their path relative to its root. It is
// nil if the volume is absent.
func (f *Fake) VolumeFiles(name string) map[string]File {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.volumes[name]
	if v == nil {
		return nil
	}
	return copyMap(v.files)
}

// PutVolumeFile writes a file by its path relative to the volume's root; nil
// data removes it.
func (f *Fake) PutVolumeFile(name, p string, mode int64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data == nil {
		delete(f.volumes[name].files, p)
		return
	}
	f.volumes[name].files[p] = File{Mode: mode, Data: slices.Clone(data)}
}

// MoveVolumeDir renames a directory at the root of a volume, e.g. current to
// aside-…. It reports whether there was anything under it.
func (f *Fake) MoveVolumeDir(name, from, to string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	files, moved := f.volumes[name].files, false
	for p, file := range copyMap(files) {
		if rest, ok := strings.CutPrefix(p, from+"/"); ok {
			delete(files, p)
			files[to+"/"+rest] = file
			moved = true
		}
	}
	return moved
}
