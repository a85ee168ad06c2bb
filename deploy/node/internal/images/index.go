// Package images knows the container images that come with the node's image,
// and those a fast deploy has put on the volume instead.
package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"openshell.ai/openshell/pkg/nodeapi"
)

// Names of the preloaded images.
const (
	Pause   = "pause"
	Server  = "server"
	Sandbox = "sandbox"
)

// OverrideDir holds images of a fast deploy, in the form of nodeapi.ImageDir.
const OverrideDir = nodeapi.DeployDir + "/images"

// Image is one preloaded image.
type Image struct {
	Name   string `json:"name"`
	Ref    string `json:"ref"`    // openshell.internal/server:0123456789ab
	File   string `json:"file"`   // archive beside index.json; absolute after Load
	Digest string `json:"digest"` // of the manifest
}

// Index lists the preloaded images.
type Index struct {
	Images []Image `json:"images"`
}

// Load reads the index of the node's image, overlaid with that of a fast
// deploy when there is one.
func Load() (Index, error) {
	index, err := read(nodeapi.ImageDir)
	if err != nil {
		return Index{}, err
	}
	override, err := read(OverrideDir)
	if errors.Is(err, fs.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return Index{}, err
	}
	for _, image := range override.Images {
		for i := range index.Images {
			if index.Images[i].Name == image.Name {
				index.Images[i] = image
			}
		}
	}
	return index, nil
}

// Find returns an image by its name.
func (x Index) Find(name string) (Image, error) {
	for _, image := range x.Images {
		if image.Name == name {
			return image, nil
		}
	}
	return Image{}, fmt.Errorf("image %s: not in the index of preloaded images", name)
}

func read(dir string) (Index, error) {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return Index{}, fmt.Errorf("image index: %w", err)
	}
	var index Index
	if err := json.Unmarshal(data, &index); err != nil {
		return Index{}, fmt.Errorf("image index %s: %w", dir, err)
	}
	for i := range index.Images {
		index.Images[i].File = filepath.Join(dir, filepath.Base(index.Images[i].File))
	}
	return index, nil
}
