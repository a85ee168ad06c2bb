package images

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	core "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

// Prune removes the images that took the place of current at some time and are
// neither current nor used. Images of other repositories stay: a sandbox may
// come back with one that no pod has at the moment.
func (i *Importer) Prune(ctx context.Context, current Image, used []string) error {
	ctx = namespaces.WithNamespace(ctx, layout.ContainerdNamespace)
	service := i.client.ImageService()
	all, err := service.List(ctx)
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	for _, name := range outdated(all, current.Ref, used) {
		if err := service.Delete(ctx, name); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("image %s: %w", name, err)
		}
		slog.Info("former image removed", "name", name)
	}
	return nil
}

// outdated names the images of current's repository that have no name that is
// current or used. Names beginning with sha256 are the runtime's own; they hold
// the content as well, so they have to go too.
func outdated(all []core.Image, current string, used []string) []string {
	repository, _, _ := strings.Cut(current, ":")
	old := map[digest.Digest]bool{}
	for _, image := range all {
		if strings.HasPrefix(image.Name, repository+":") {
			old[image.Target.Digest] = true
		}
	}
	for _, image := range all {
		ours := strings.HasPrefix(image.Name, repository+":") || strings.HasPrefix(image.Name, runtimeName)
		if !ours || image.Name == current || slices.Contains(used, image.Name) {
			delete(old, image.Target.Digest)
		}
	}
	var names []string
	for _, image := range all {
		if old[image.Target.Digest] {
			names = append(names, image.Name)
		}
	}
	return names
}
