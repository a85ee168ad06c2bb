package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	core "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Errors of Import beside those of the node.
var (
	ErrPlatform = errors.New("wrong platform")
	ErrArchive  = errors.New("not an archive with one image")
	ErrSpace    = errors.New("the volume is full")
	ErrName     = errors.New("not a name of an image from the laptop")
)

// importLimit is when the garbage collector may take what an import has brought
// that was killed.
const importLimit = 2 * time.Hour

var localRef = regexp.MustCompile(`^` + regexp.QuoteMeta(sandboxapi.LocalImage) + `[0-9a-f]{64}$`)

// Import reads an archive of `docker save`, of any version, and names the image
// in it ref. Until it is complete, unpacked and of this machine's kind nothing
// has that name; what an import brings that fails, or is cut off, goes again.
func (i *Importer) Import(ctx context.Context, ref string, stream io.Reader) error {
	if !localRef.MatchString(ref) {
		return fmt.Errorf("%w: %q", ErrName, ref)
	}
	err := i.importAs(ctx, ref, stream)
	// The words are all that is left of an error of containerd.
	if err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	return err
}

func (i *Importer) importAs(ctx context.Context, ref string, stream io.Reader) error {
	ctx = namespaces.WithNamespace(ctx, layout.ContainerdNamespace)
	ctx, release, err := i.client.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(importLimit))
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer func() {
		// Without the answer the lease ends by itself.
		_ = release(context.WithoutCancel(ctx))
	}()
	lease, _ := leases.FromContext(ctx)
	target, err := bring(ctx, ownIngests{i.client.ContentStore(), lease}, stream)
	if err != nil {
		return err
	}
	image := core.Image{Name: ref, Target: target, Labels: map[string]string{pinnedLabel: pinnedValue, "io.cri-containerd.image": "managed"}}
	if err := containerd.NewImage(i.client, image).Unpack(ctx, snapshotter); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	if err := i.name(ctx, image); err != nil {
		return err
	}
	return awaitRuntime(ctx, ref)
}

// bring puts the content of an archive into the store and returns the manifest
// of its image. The garbage collector keeps that and its configuration as long
// as an image names it; the layers go with the lease, for once they are unpacked
// nobody needs them: they are never pushed.
func bring(ctx context.Context, store content.Store, stream io.Reader) (ocispec.Descriptor, error) {
	index, err := archive.ImportIndex(ctx, store, stream)
	if errdefs.IsUnavailable(err) || errors.Is(ctx.Err(), context.Canceled) {
		return ocispec.Descriptor{}, fmt.Errorf("containerd: %w", err)
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	target, err := choose(ctx, store, index)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	label := core.SetChildrenMappedLabels(store, core.ChildrenHandler(store), core.ChildGCLabelsFilterLayers)
	return target, core.Walk(ctx, label, target)
}

// name gives the image its name, which may have been another's.
func (i *Importer) name(ctx context.Context, image core.Image) error {
	_, err := i.client.ImageService().Create(ctx, image)
	if errdefs.IsAlreadyExists(err) {
		_, err = i.client.ImageService().Update(ctx, image, "target", "labels")
	}
	return err
}

// Local lists the images from the laptop.
func (i *Importer) Local(ctx context.Context) ([]nodeapi.Image, error) {
	ctx = namespaces.WithNamespace(ctx, layout.ContainerdNamespace)
	all, err := i.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	local := []nodeapi.Image{}
	for _, image := range all {
		if !localRef.MatchString(image.Name) {
			continue
		}
		manifest, err := manifestOf(ctx, i.client.ContentStore(), image.Target)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", image.Name, err)
		}
		out := nodeapi.Image{Ref: image.Name, ImportedAt: image.UpdatedAt.UTC()}
		for _, layer := range manifest.Layers {
			out.Size += layer.Size
		}
		local = append(local, out)
	}
	slices.SortFunc(local, func(a, b nodeapi.Image) int { return strings.Compare(a.Ref, b.Ref) })
	return local, nil
}

// Remove lets go of images from the laptop, and of no other. What runs in a pod
// goes on running.
func (i *Importer) Remove(ctx context.Context, refs []string) error {
	for _, ref := range refs {
		if !localRef.MatchString(ref) {
			return fmt.Errorf("%w: %q", ErrName, ref)
		}
	}
	ctx = namespaces.WithNamespace(ctx, layout.ContainerdNamespace)
	service := i.client.ImageService()
	all, err := service.List(ctx)
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	names := withoutHolders(all, refs)
	for n, name := range names {
		var opts []core.DeleteOpt
		if n == len(names)-1 {
			opts = append(opts, core.SynchronousDelete()) // the space is free afterwards
		}
		if err := service.Delete(ctx, name, opts...); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("image %s: %w", name, err)
		}
	}
	return nil
}

// withoutHolders are the names to delete so that nothing holds the images refs:
// themselves, and the runtime's own names for what has no other name left.
func withoutHolders(all []core.Image, refs []string) []string {
	var names []string
	named, gone := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, image := range all {
		switch {
		case slices.Contains(refs, image.Name):
			names = append(names, image.Name)
			gone[image.Target.Digest] = true
		case !strings.HasPrefix(image.Name, runtimeName):
			named[image.Target.Digest] = true
		}
	}
	for _, image := range all {
		if strings.HasPrefix(image.Name, runtimeName) && gone[image.Target.Digest] && !named[image.Target.Digest] {
			names = append(names, image.Name)
		}
	}
	return names
}

// ownIngests keeps what one import is writing apart from all others: names of
// files in archives are not unique, and the store would resume one with another.
type ownIngests struct {
	content.Store
	prefix string
}

func (o ownIngests) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var w content.WriterOpts
	for _, opt := range opts {
		if err := opt(&w); err != nil {
			return nil, err
		}
	}
	return o.Store.Writer(ctx, append(opts, content.WithRef(o.prefix+"-"+w.Ref))...)
}
