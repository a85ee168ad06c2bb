package docker

import (
	"context"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
)

func (d *engine) Volume(ctx context.Context, name string) (Volume, error) {
	res, err := d.api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	if err != nil {
		return Volume{}, d.fail("inspect volume", name, err)
	}
	return fromVolume(res.Volume), nil
}

func (d *engine) Volumes(ctx context.Context, labels map[string]string) ([]Volume, error) {
	res, err := d.api.VolumeList(ctx, client.VolumeListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, d.fail("list volumes", "", err)
	}
	var out []Volume
	for _, v := range res.Items {
		out = append(out, fromVolume(v))
	}
	return out, nil
}

// CreateVolume refuses a name in use itself: the engine answers as if it had
// just made the volume that was there.
func (d *engine) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	const op = "create volume"
	_, err := d.Volume(ctx, name)
	if err == nil {
		return NewError(Conflict, op, name, "a volume with the name %s already exists", name)
	}
	if !IsNotFound(err) {
		return err
	}
	_, err = d.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Driver: "local", Labels: labels})
	return d.fail(op, name, err)
}

func (d *engine) RemoveVolume(ctx context.Context, name string) error {
	_, err := d.api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	return d.fail("remove volume", name, err)
}

func fromVolume(v volume.Volume) Volume {
	return Volume{Name: v.Name, Labels: v.Labels, CreatedAt: parseTime(v.CreatedAt)}
}
