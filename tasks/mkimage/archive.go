package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Media types and file names of the OCI image layout, v1.
const (
	mediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
	mediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaTypeConfig   = "application/vnd.oci.image.config.v1+json"
	mediaTypeLayer    = "application/vnd.oci.image.layer.v1.tar"
	layoutFile        = "oci-layout"
	layoutIndex       = "index.json"
)

// annotationName is the annotation from which containerd's import takes an
// image's full name.
const annotationName = "io.containerd.image.name"

// registry is the first part of every preloaded image's name. It resolves
// nowhere, so that a missing image is never looked for on a network.
const registry = "openshell.internal/"

// refDigits is how much of the manifest's digest the tag shows.
const refDigits = 12

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type config struct {
	platform
	Config runConfig `json:"config"`
	RootFS rootFS    `json:"rootfs"`
}

// runConfig says how a container of the image runs by default.
type runConfig struct {
	User       string   `json:"User,omitempty"`
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// image is one preloaded image, as listed in index.json of the image
// directory.
type image struct {
	Name   string `json:"name"`
	Ref    string `json:"ref"`    // openshell.internal/<name>:<start of the digest>
	File   string `json:"file"`   // archive, next to index.json
	Digest string `json:"digest"` // of the manifest
}

// spec is what an image is made of.
type spec struct {
	Name   string
	Arch   string // GOARCH
	Rootfs string // tar of a root file system; empty: none
	Files  []file
	Level  zstd.EncoderLevel // of the layer's compression
	Run    runConfig
}

// writeImage writes dir/<name>.tar, an OCI layout with one image of one layer.
// The same content gives the same bytes.
func writeImage(dir string, s spec) (img image, err error) {
	l, err := writeLayer(dir, s.Rootfs, s.Files, s.Level)
	if err != nil {
		return image{}, err
	}
	defer os.Remove(l.Path)
	target := platform{Architecture: s.Arch, OS: "linux"}
	configBlob := encode(config{platform: target, Config: s.Run, RootFS: rootFS{Type: "layers", DiffIDs: []string{l.DiffID}}})
	manifestBlob := encode(manifest{
		SchemaVersion: 2,
		MediaType:     mediaTypeManifest,
		Config:        describe(mediaTypeConfig, configBlob),
		Layers:        []descriptor{{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}},
	})
	desc := describe(mediaTypeManifest, manifestBlob)
	img = image{Name: s.Name, File: s.Name + ".tar", Digest: desc.Digest}
	img.Ref = registry + s.Name + ":" + strings.TrimPrefix(desc.Digest, "sha256:")[:refDigits]
	desc.Annotations = map[string]string{annotationName: img.Ref}
	desc.Platform = &target

	// Written aside and renamed: an interrupted build leaves no half archive.
	tmp, err := os.CreateTemp(dir, ".image-*")
	if err != nil {
		return image{}, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	tw := tar.NewWriter(tmp)
	top := encode(index{SchemaVersion: 2, MediaType: mediaTypeIndex, Manifests: []descriptor{desc}})
	err = errors.Join(
		addBlob(tw, layoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)),
		addBlob(tw, layoutIndex, top),
		addBlob(tw, blobName(desc.Digest), manifestBlob),
		addBlob(tw, blobName(describe("", configBlob).Digest), configBlob),
		addLayer(tw, l),
		tw.Close(),
		tmp.Chmod(0o644),
		tmp.Close(),
	)
	if err != nil {
		return image{}, err
	}
	return img, os.Rename(tmp.Name(), filepath.Join(dir, img.File))
}

// readImage reads what an archive written by writeImage holds.
func readImage(dir, name string) (image, error) {
	img := image{Name: name, File: name + ".tar"}
	f, err := os.Open(filepath.Join(dir, img.File))
	if err != nil {
		return image{}, err
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err != nil {
			return image{}, fmt.Errorf("%s: %s: %w", img.File, layoutIndex, err)
		}
		if h.Name != layoutIndex {
			continue
		}
		var top index
		if err := json.NewDecoder(tr).Decode(&top); err != nil {
			return image{}, fmt.Errorf("%s: %s: %w", img.File, layoutIndex, err)
		}
		if len(top.Manifests) != 1 || top.Manifests[0].Annotations[annotationName] == "" {
			return image{}, fmt.Errorf("%s: not an archive with one named image", img.File)
		}
		img.Digest = top.Manifests[0].Digest
		img.Ref = top.Manifests[0].Annotations[annotationName]
		return img, nil
	}
}

// writeIndex writes dir/index.json for the named archives of dir.
func writeIndex(dir string, names []string) error {
	list := struct {
		Images []image `json:"images"`
	}{Images: []image{}}
	for _, name := range names {
		img, err := readImage(dir, name)
		if err != nil {
			return err
		}
		list.Images = append(list.Images, img)
	}
	out, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), append(out, '\n'), 0o644)
}

func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("image document does not encode: %v", err)) // only plain types above
	}
	return out
}

func describe(mediaType string, blob []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(blob)), Size: int64(len(blob))}
}

func blobName(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func addBlob(tw *tar.Writer, name string, content []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: epoch}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := tw.Write(content)
	return err
}

func addLayer(tw *tar.Writer, l layer) error {
	f, err := os.Open(l.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: blobName(l.Digest), Mode: 0o644, Size: l.Size, ModTime: epoch}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}
