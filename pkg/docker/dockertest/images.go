package dockertest

import (
	"context"
	"io"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/docker"
)

type image struct {
	docker.Image
	files map[string]File
}

func (f *Fake) findImage(ref string) *image {
	named := ref
	if i := strings.LastIndexByte(ref, '/'); !strings.Contains(ref[i+1:], ":") {
		named = ref + ":latest"
	}
	for _, img := range f.images {
		if img.ID == ref || strings.TrimPrefix(img.ID, "sha256:") == ref || slices.Contains(img.Tags, named) {
			return img
		}
	}
	return nil
}

// AddImage adds an image with the given tags and labels and returns its id.
// A tag of another image moves.
func (f *Fake) AddImage(labels map[string]string, tags ...string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	img := &image{docker.Image{
		ID: "sha256:" + f.id("image"), Labels: copyMap(labels), CreatedAt: f.now, Arch: f.info.Arch, Size: 1 << 20,
	}, map[string]File{}}
	f.images = append(f.images, img)
	for _, t := range tags {
		f.moveTag(img, t)
	}
	return img.ID
}

// PutImageFile adds a file to an image.
func (f *Fake) PutImageFile(ref, p string, mode int64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.findImage(ref).files[p] = File{Mode: mode, Data: data}
}

// RemoveImage removes a tag, or the image when ref is its id. Containers made
// from it keep running.
func (f *Fake) RemoveImage(ref string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images = slices.DeleteFunc(f.images, func(i *image) bool { return i.ID == ref })
	for _, i := range f.images {
		i.Tags = slices.DeleteFunc(i.Tags, func(t string) bool { return t == ref })
	}
}

func (f *Fake) moveTag(img *image, tag string) {
	for _, i := range f.images {
		i.Tags = slices.DeleteFunc(i.Tags, func(t string) bool { return t == tag })
	}
	img.Tags = append(img.Tags, tag)
}

func (i *image) snapshot() docker.Image {
	s := i.Image
	s.Tags, s.Labels = slices.Clone(s.Tags), copyMap(s.Labels)
	return s
}

// Image implements docker.Engine.
func (f *Fake) Image(ctx context.Context, ref string) (docker.Image, error) {
	return do(ctx, f, Call{Op: "Image", Ref: ref}, func() (docker.Image, error) {
		img := f.findImage(ref)
		if img == nil {
			return docker.Image{}, docker.NewError(docker.NotFound, "inspect image", ref, "No such image: %s", ref)
		}
		return img.snapshot(), nil
	})
}

// Images implements docker.Engine.
func (f *Fake) Images(ctx context.Context, labels map[string]string) ([]docker.Image, error) {
	return do(ctx, f, Call{Op: "Images"}, func() ([]docker.Image, error) {
		var out []docker.Image
		for _, img := range f.images {
			if matches(img.Labels, labels) {
				out = append(out, img.snapshot())
			}
		}
		return out, nil
	})
}

// LoadImage implements docker.Engine. Instead of an archive it reads one tag a
// line, optionally followed by key=value labels of the image, or the id of an
// image that it has.
func (f *Fake) LoadImage(ctx context.Context, archive io.Reader, progress func(string)) ([]string, error) {
	const op = "load image"
	data, err := io.ReadAll(archive)
	if err != nil {
		return nil, docker.NewError(docker.Other, op, "", "archive: %w", err)
	}
	return do(ctx, f, Call{Op: "LoadImage"}, func() ([]string, error) {
		var refs []string
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			if have := f.findImage(fields[0]); have != nil && have.ID == fields[0] {
				refs = append(refs, have.ID)
				continue
			}
			labels := map[string]string{}
			for _, kv := range fields[1:] {
				k, v, _ := strings.Cut(kv, "=")
				labels[k] = v
			}
			img := &image{docker.Image{
				ID: "sha256:" + f.id("image"), Labels: labels, CreatedAt: f.now, Arch: f.info.Arch, Size: 1 << 20,
			}, map[string]File{}}
			f.images = append(f.images, img)
			f.moveTag(img, fields[0])
			refs = append(refs, fields[0])
			if progress != nil {
				progress("Loaded image: " + fields[0])
			}
		}
		if len(refs) == 0 {
			return nil, docker.NewError(docker.Other, op, "", "no image in the archive")
		}
		return refs, nil
	})
}

// PullImage implements docker.Engine. There is no registry: it finds nothing.
// A test that wants a pull to succeed adds the image from Intercept.
func (f *Fake) PullImage(ctx context.Context, ref string, _ func(string)) error {
	return do0(ctx, f, Call{Op: "PullImage", Ref: ref}, func() error {
		if f.findImage(ref) != nil {
			return nil
		}
		return docker.NewError(docker.NotFound, "pull image", ref, "manifest for %s not found", ref)
	})
}

// TagImage implements docker.Engine.
func (f *Fake) TagImage(ctx context.Context, id, ref string) error {
	return do0(ctx, f, Call{Op: "TagImage", Ref: id, Note: ref}, func() error {
		img := f.findImage(id)
		if img == nil {
			return docker.NewError(docker.NotFound, "tag image", id, "No such image: %s", id)
		}
		f.moveTag(img, ref)
		return nil
	})
}

// SaveImage implements docker.Engine. The archive is of the form that LoadImage
// reads.
func (f *Fake) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	return do(ctx, f, Call{Op: "SaveImage", Ref: ref}, func() (io.ReadCloser, error) {
		img := f.findImage(ref)
		if img == nil {
			return nil, docker.NewError(docker.NotFound, "save image", ref, "No such image: %s", ref)
		}
		return io.NopCloser(strings.NewReader(img.ID + "\n")), nil
	})
}
