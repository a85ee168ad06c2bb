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

func (d *engine) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	_, err := d.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Driver: "local", Labels: labels})
	return d.fail("create volume", name, err)
}

func (d *engine) RemoveVolume(ctx context.Context, name string) error {
	_, err := d.api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	return d.fail("remove volume", name, err)
}

func fromVolume(v volume.Volume) Volume {
	return Volume{Name: v.Name, Labels: v.Labels, CreatedAt: parseTime(v.CreatedAt)}
}
