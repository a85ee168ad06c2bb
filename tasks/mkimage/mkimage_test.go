package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// readTar maps the names of a tar to their content, directories to "".
func readTar(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	got := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(content)
	}
}

func archiveOf(t *testing.T, dir string, s spec) (image, map[string]string) {
	t.Helper()
	img, err := writeImage(dir, s)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, img.File))
	if err != nil {
		t.Fatal(err)
	}
	return img, readTar(t, bytes.NewReader(data))
}

// layerOf follows the archive from its index to its only layer.
func layerOf(t *testing.T, archive map[string]string) (manifest, config, string) {
	t.Helper()
	var top index
	var m manifest
	var c config
	for _, step := range []struct {
		blob func() string
		into any
	}{
		{func() string { return layoutIndex }, &top},
		{func() string { return blobName(top.Manifests[0].Digest) }, &m},
		{func() string { return blobName(m.Config.Digest) }, &c},
	} {
		if err := json.Unmarshal([]byte(archive[step.blob()]), step.into); err != nil {
			t.Fatalf("%s: %v", step.blob(), err)
		}
	}
	return m, c, archive[blobName(m.Layers[0].Digest)]
}

func write(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestImageOfABinary(t *testing.T) {
	dir := t.TempDir()
	bin := write(t, dir, "server", "binary", 0o700)
	s := spec{Name: "server", Arch: "arm64", Files: []file{{bin, "/usr/bin/server"}}, Run: runConfig{User: "1000", Entrypoint: []string{"/usr/bin/server"}}}
	img, archive := archiveOf(t, dir, s)
	m, c, content := layerOf(t, archive)

	if want := registry + "server:" + img.Digest[len("sha256:"):][:12]; img.Ref != want {
		t.Errorf("reference is %s, want %s", img.Ref, want)
	}
	if archive[layoutFile] != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("layout file is %q", archive[layoutFile])
	}
	want := map[string]string{"usr/": "", "usr/bin/": "", "usr/bin/server": "binary"}
	if diff := cmp.Diff(want, readTar(t, strings.NewReader(content))); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	if c.Architecture != "arm64" || c.Config.User != "1000" || c.RootFS.DiffIDs[0] != m.Layers[0].Digest {
		t.Errorf("configuration is %+v, layer %+v", c, m.Layers[0])
	}
}

func TestImageIsTheSameForTheSameContent(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	one := spec{Name: "pause", Arch: "amd64", Files: []file{{write(t, first, "a", "x", 0o755), "/pause"}}, Level: zstd.SpeedFastest}
	two := spec{Name: "pause", Arch: "amd64", Files: []file{{write(t, second, "b", "x", 0o711), "/pause"}}, Level: zstd.SpeedFastest}
	imgOne, archiveOne := archiveOf(t, first, one)
	imgTwo, archiveTwo := archiveOf(t, second, two)
	if diff := cmp.Diff(imgOne, imgTwo); diff != "" {
		t.Errorf("image differs:\n%s", diff)
	}
	if diff := cmp.Diff(archiveOne, archiveTwo); diff != "" {
		t.Errorf("archive differs:\n%s", diff)
	}
}

func TestImageOfARootfsHasNoDevices(t *testing.T) {
	dir := t.TempDir()
	var rootfs bytes.Buffer
	tw := tar.NewWriter(&rootfs)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "./dev/", Mode: 0o755},
		{Typeflag: tar.TypeChar, Name: "./dev/null", Devmajor: 1, Devminor: 3},
		{Typeflag: tar.TypeReg, Name: "./etc/hostname", Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: ".dockerenv", Mode: 0o644},
		{Typeflag: tar.TypeLink, Name: "./etc/same", Linkname: "./etc/hostname"},
	} {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	s := spec{Name: "sandbox", Arch: "amd64", Rootfs: write(t, dir, "rootfs", rootfs.String(), 0o600), Level: zstd.SpeedFastest}
	_, archive := archiveOf(t, dir, s)
	m, c, content := layerOf(t, archive)
	plain, err := zstd.NewReader(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	want := map[string]string{"dev/": "", "etc/hostname": "", "etc/same": ""}
	if diff := cmp.Diff(want, readTar(t, plain)); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	if c.RootFS.DiffIDs[0] == m.Layers[0].Digest {
		t.Error("the configuration names the compressed digest, not that of the tar")
	}
}

func TestIndexListsArchives(t *testing.T) {
	dir := t.TempDir()
	bin := write(t, dir, "bin", "x", 0o755)
	var want []image
	for _, name := range []string{"pause", "server"} {
		img, _ := archiveOf(t, dir, spec{Name: name, Arch: "amd64", Files: []file{{bin, "/" + name}}})
		want = append(want, img)
	}
	if err := writeIndex(dir, []string{"pause", "server"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Images []image }
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Images); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	if err := writeIndex(dir, []string{"absent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("index of a missing archive: %v", err)
	}
}

func TestParseFile(t *testing.T) {
	for in, want := range map[string]file{
		"a=/b":       {"a", "/b"},
		"a/b=/c/d":   {"a/b", "/c/d"},
		"a":          {},
		"a=b":        {},
		"=/b":        {},
		"a=/b/../c":  {},
		"a=/b/":      {},
		"x=/bin/y=z": {"x", "/bin/y=z"},
	} {
		got, err := parseFile(in)
		if got != want || (err == nil) != (want != file{}) {
			t.Errorf("parseFile(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
}
