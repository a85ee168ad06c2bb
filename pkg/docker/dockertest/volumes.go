package dockertest

import (
	"context"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/docker"
)

type volume struct {
	docker.Volume
	files map[string]File
}

func (f *Fake) newVolume(name string, labels map[string]string) *volume {
	return &volume{docker.Volume{Name: name, Labels: copyMap(labels), CreatedAt: f.now}, map[string]File{}}
}

func (v *volume) snapshot() docker.Volume {
	s := v.Volume
	s.Labels = copyMap(s.Labels)
	return s
}

// Volume implements docker.Engine.
func (f *Fake) Volume(ctx context.Context, name string) (docker.Volume, error) {
	return do(ctx, f, Call{Op: "Volume", Ref: name}, func() (docker.Volume, error) {
		v := f.volumes[name]
		if v == nil {
			return docker.Volume{}, docker.NewError(docker.NotFound, "inspect volume", name, "get %s: no such volume", name)
		}
		return v.snapshot(), nil
	})
}

// Volumes implements docker.Engine.
func (f *Fake) Volumes(ctx context.Context, labels map[string]string) ([]docker.Volume, error) {
	return do(ctx, f, Call{Op: "Volumes"}, func() ([]docker.Volume, error) {
		var out []docker.Volume
		for _, v := range f.volumes {
			if matches(v.Labels, labels) {
				out = append(out, v.snapshot())
			}
		}
		slices.SortFunc(out, func(a, b docker.Volume) int { return strings.Compare(a.Name, b.Name) })
		return out, nil
	})
}

// CreateVolume implements docker.Engine.
func (f *Fake) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	return do0(ctx, f, Call{Op: "CreateVolume", Ref: name}, func() error {
		if f.volumes[name] != nil {
			return docker.NewError(docker.Conflict, "create volume", name, "a volume with the name %s already exists", name)
		}
		f.volumes[name] = f.newVolume(name, labels)
		return nil
	})
}

// RemoveVolume implements docker.Engine.
func (f *Fake) RemoveVolume(ctx context.Context, name string) error {
	return do0(ctx, f, Call{Op: "RemoveVolume", Ref: name}, func() error {
		const op = "remove volume"
		if f.volumes[name] == nil {
			return docker.NewError(docker.NotFound, op, name, "get %s: no such volume", name)
		}
		for _, c := range f.containers {
			for _, used := range c.Volumes {
				if used == name {
					return docker.NewError(docker.InUse, op, name, "volume is in use - [%s]", c.ID)
				}
			}
		}
		delete(f.volumes, name)
		return nil
	})
}
