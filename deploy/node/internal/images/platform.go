package images

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	core "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDepth bounds indexes in indexes.
const maxDepth = 4

// choose finds the image of this machine's kind among those of an archive. An
// archive may list images that it does not hold, and what is no image at all.
func choose(ctx context.Context, store content.Provider, index ocispec.Descriptor) (ocispec.Descriptor, error) {
	found, err := manifests(ctx, store, index, maxDepth)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var others []string
	for _, m := range found {
		if m.os == "linux" && m.arch == runtime.GOARCH {
			return m.desc, nil
		}
		if kind := m.os + "/" + m.arch; !slices.Contains(others, kind) {
			others = append(others, kind)
		}
	}
	if len(others) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: it holds none", ErrArchive)
	}
	return ocispec.Descriptor{}, fmt.Errorf("%w: the image is for %s, and the gateway is linux/%s", ErrPlatform, strings.Join(others, ", "), runtime.GOARCH)
}

type found struct {
	desc     ocispec.Descriptor
	os, arch string
}

func manifests(ctx context.Context, store content.Provider, desc ocispec.Descriptor, depth int) ([]found, error) {
	switch {
	case core.IsIndexType(desc.MediaType) && depth > 0:
		var index ocispec.Index
		if err := document(ctx, store, desc, &index); err != nil {
			return nil, err
		}
		var all []found
		for _, child := range index.Manifests {
			some, err := manifests(ctx, store, child, depth-1)
			if errdefs.IsNotFound(err) {
				continue // listed, not held
			}
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case core.IsManifestType(desc.MediaType):
		manifest, err := manifestOf(ctx, store, desc)
		if err != nil {
			return nil, err
		}
		var config ocispec.Image
		if err := document(ctx, store, manifest.Config, &config); err != nil {
			return nil, err
		}
		if config.OS == "" || config.OS == "unknown" || len(config.RootFS.DiffIDs) == 0 {
			return nil, nil // an attestation
		}
		return []found{{desc, config.OS, config.Architecture}}, nil
	}
	return nil, nil
}

func manifestOf(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (ocispec.Manifest, error) {
	var manifest ocispec.Manifest
	return manifest, document(ctx, store, desc, &manifest)
}

// maxDocument bounds what is read into memory.
const maxDocument = 16 << 20

// document reads a blob of JSON.
func document(ctx context.Context, store content.Provider, desc ocispec.Descriptor, into any) error {
	if desc.Size > maxDocument {
		return fmt.Errorf("%w: a document of %d bytes", ErrArchive, desc.Size)
	}
	data, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return nil
}
