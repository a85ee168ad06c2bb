package docker

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/moby/moby/client"
)

func (d *engine) Image(ctx context.Context, ref string) (Image, error) {
	res, err := d.api.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, d.fail("inspect image", ref, err)
	}
	img := Image{
		ID: res.ID, Tags: res.RepoTags, CreatedAt: parseTime(res.Created), Arch: res.Architecture, Size: res.Size,
		Labels: map[string]string{},
	}
	if res.Config != nil && res.Config.Labels != nil {
		img.Labels = res.Config.Labels
	}
	return img, nil
}

func (d *engine) Images(ctx context.Context, labels map[string]string) ([]Image, error) {
	list, err := d.api.ImageList(ctx, client.ImageListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, d.fail("list images", "", err)
	}
	var out []Image
	for _, item := range list.Items {
		img, err := d.Image(ctx, item.ID)
		if IsNotFound(err) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, err
		}
		out = append(out, img)
	}
	return out, nil
}

func (d *engine) LoadImage(ctx context.Context, archive io.Reader, progress func(string)) ([]string, error) {
	const op = "load image"
	res, err := d.api.ImageLoad(ctx, archive)
	if err != nil {
		return nil, d.fail(op, "", err)
	}
	var refs []string
	err = readMessages(res, func(line string) {
		for _, prefix := range []string{"Loaded image ID: ", "Loaded image: "} {
			if ref, ok := strings.CutPrefix(line, prefix); ok {
				refs = append(refs, ref)
			}
		}
		if progress != nil {
			progress(line)
		}
	})
	if err == nil && len(refs) == 0 {
		err = errors.New("no image in the archive")
	}
	return refs, d.fail(op, "", errors.Join(err, res.Close()))
}

// PullImage uses no credentials: the images of this project are public.
func (d *engine) PullImage(ctx context.Context, ref string, progress func(string)) error {
	const op = "pull image"
	res, err := d.api.ImagePull(ctx, ref, client.ImagePullOptions{})
	if err != nil {
		return d.fail(op, ref, err)
	}
	if progress == nil {
		progress = func(string) {}
	}
	return d.fail(op, ref, errors.Join(readMessages(res, progress), res.Close()))
}

func (d *engine) TagImage(ctx context.Context, id, ref string) error {
	_, err := d.api.ImageTag(ctx, client.ImageTagOptions{Source: id, Target: ref})
	return d.fail("tag image", id, err)
}

// SaveImage returns the engine's stream as it comes: an engine that fails on the
// way ends it with what is no archive.
func (d *engine) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	const op = "save image"
	archive, err := d.api.ImageSave(ctx, []string{ref})
	if err != nil {
		return nil, d.fail(op, ref, err)
	}
	return archive, nil
}
