package images

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

// pinned keeps the kubelet and people from deleting an image that cannot be
// pulled again.
const (
	pinnedLabel = "io.cri-containerd.pinned"
	pinnedValue = "pinned"
)

const (
	snapshotter = "overlayfs"
	runtimeName = "sha256:" // begins the runtime's own names for images
)

// Importer puts preloaded images into containerd.
type Importer struct {
	client *containerd.Client
}

// NewImporter connects to the node's containerd.
func NewImporter() (*Importer, error) {
	client, err := containerd.New(layout.ContainerdSocket, containerd.WithDefaultNamespace(layout.ContainerdNamespace))
	if err != nil {
		return nil, fmt.Errorf("containerd: %w", err)
	}
	return &Importer{client: client}, nil
}

// Close ends the connection.
func (i *Importer) Close() error { return i.client.Close() }

// Ensure imports the image unless containerd has it, by digest.
func (i *Importer) Ensure(ctx context.Context, image Image) error {
	ctx = namespaces.WithNamespace(ctx, layout.ContainerdNamespace)
	have, err := i.client.ImageService().Get(ctx, image.Ref)
	if err == nil && have.Target.Digest.String() == image.Digest {
		unpacked, err := containerd.NewImage(i.client, have).IsUnpacked(ctx, snapshotter)
		if err == nil && unpacked {
			return nil
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("image %s: %w", image.Ref, err)
	}
	archive, err := os.Open(image.File)
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Ref, err)
	}
	defer archive.Close()
	imported, err := i.client.Import(ctx, archive,
		containerd.WithImageLabels(map[string]string{pinnedLabel: pinnedValue, "io.cri-containerd.image": "managed"}))
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Ref, err)
	}
	for _, m := range imported {
		if m.Name != image.Ref {
			continue
		}
		if err := containerd.NewImage(i.client, m).Unpack(ctx, snapshotter); err != nil {
			return fmt.Errorf("image %s: %w", image.Ref, err)
		}
		slog.Info("image imported", "ref", image.Ref, "digest", m.Target.Digest)
		return nil
	}
	return fmt.Errorf("image %s: its archive holds another name", image.Ref)
}
