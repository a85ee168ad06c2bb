package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	core "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// files of an archive, by name.
type files map[string]string

func (f files) tar(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(f[name]))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// platformImage is the configuration of an image with one layer.
func platformImage(t *testing.T, os, arch, layer string) string {
	t.Helper()
	return asJSON(t, map[string]any{
		"os": os, "architecture": arch, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
	})
}

// saved is what `docker save ID` of Docker 20.10 writes: without a name.
func saved(t *testing.T, arch string) files {
	t.Helper()
	layer := string(files{"hello": arch}.tar(t))
	config := platformImage(t, "linux", arch, layer)
	return files{
		"0a/VERSION": "1.0", "0a/json": "{}", "0a/layer.tar": layer, sum(config) + ".json": config,
		"manifest.json": asJSON(t, []map[string]any{{"Config": sum(config) + ".json", "RepoTags": nil, "Layers": []string{"0a/layer.tar"}}}),
	}
}

// ociLayout is what later engines write: blobs by their digest, and beside images
// what is none.
func ociLayout(t *testing.T, arches ...string) files {
	t.Helper()
	out := files{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}
	blob := func(mediaType, content string) map[string]any {
		out["blobs/sha256/"+sum(content)] = content
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + sum(content), "size": len(content)}
	}
	var manifests []any
	image := func(config, layer string) {
		manifests = append(manifests, blob(ocispec.MediaTypeImageManifest, asJSON(t, map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest,
			"config": blob(ocispec.MediaTypeImageConfig, config), "layers": []any{blob(ocispec.MediaTypeImageLayer, layer)},
		})))
	}
	image(asJSON(t, map[string]any{"os": "unknown", "architecture": "unknown", "rootfs": map[string]any{}}), "an attestation")
	for _, arch := range arches {
		layer := string(files{"hello": arch}.tar(t))
		image(platformImage(t, "linux", arch, layer), layer)
	}
	manifests = append(manifests, map[string]any{ // listed, not held
		"mediaType": ocispec.MediaTypeImageManifest, "digest": "sha256:" + sum("elsewhere"), "size": 9,
	})
	inner := blob(ocispec.MediaTypeImageIndex, asJSON(t, map[string]any{"schemaVersion": 2, "manifests": manifests}))
	out["index.json"] = asJSON(t, map[string]any{"schemaVersion": 2, "manifests": []any{inner}})
	return out
}

// labels keeps those of a content store in memory.
type labels struct {
	mu sync.Mutex
	of map[digest.Digest]map[string]string
}

func (l *labels) Get(d digest.Digest) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.of[d]), nil
}

func (l *labels) Set(d digest.Digest, set map[string]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[d] = maps.Clone(set)
	return nil
}

func (l *labels) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[d] == nil {
		l.of[d] = map[string]string{}
	}
	maps.Copy(l.of[d], update)
	return maps.Clone(l.of[d]), nil
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	store, err := local.NewLabeledStore(t.TempDir(), &labels{of: map[digest.Digest]map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

const otherArch = "s390x"

func TestEveryFormOfArchiveGivesItsImage(t *testing.T) {
	for name, archive := range map[string]files{
		"Docker 20.10":          saved(t, runtime.GOARCH),
		"OCI layout":            ociLayout(t, runtime.GOARCH),
		"OCI, several machines": ociLayout(t, otherArch, runtime.GOARCH),
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			target, err := bring(t.Context(), ownIngests{store, "one"}, bytes.NewReader(archive.tar(t)))
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := manifestOf(t.Context(), store, target)
			if err != nil || len(manifest.Layers) != 1 {
				t.Fatalf("%+v, %v", manifest, err)
			}
			layer, err := content.ReadBlob(t.Context(), store, manifest.Layers[0])
			if want := string(files{"hello": runtime.GOARCH}.tar(t)); err != nil || string(layer) != want {
				t.Errorf("the layer is not this machine's: %v", err)
			}
			// Kept: the configuration. Not kept: the layer, once it is unpacked.
			info, err := store.Info(t.Context(), target.Digest)
			if err != nil {
				t.Fatal(err)
			}
			held := slices.Sorted(maps.Values(info.Labels))
			if diff := cmp.Diff([]string{manifest.Config.Digest.String()}, held); diff != "" {
				t.Errorf("what the manifest holds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoImageForThisMachineIsRefused(t *testing.T) {
	whole := saved(t, runtime.GOARCH).tar(t)
	noConfig := saved(t, runtime.GOARCH)
	maps.DeleteFunc(noConfig, func(name, _ string) bool { return strings.HasSuffix(name, ".json") && name != "manifest.json" })
	for name, c := range map[string]struct {
		stream []byte
		want   error
		words  string
	}{
		"another machine":          {saved(t, otherArch).tar(t), ErrPlatform, "linux/" + otherArch},
		"other machines, OCI":      {ociLayout(t, otherArch, "riscv64").tar(t), ErrPlatform, "linux/s390x, linux/riscv64"},
		"cut off in a layer":       {whole[:len(whole)/2], ErrArchive, "unexpected EOF"},
		"cut off between files":    {whole[:512], ErrArchive, ""},
		"nothing":                  {nil, ErrArchive, ""},
		"an error of the engine":   {append(slices.Clone(whole[:1024]), `{"message":"no space"}`...), ErrArchive, ""},
		"without a configuration":  {noConfig.tar(t), ErrArchive, ""},
		"a layout without images":  {ociLayout(t).tar(t), ErrArchive, "none"},
		"a tar of something else":  {files{"etc/passwd": "root"}.tar(t), ErrArchive, ""},
		"a manifest that is wrong": {files{"manifest.json": `{"a":1}`}.tar(t), ErrArchive, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bring(t.Context(), ownIngests{newStore(t), "one"}, bytes.NewReader(c.stream))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %v and %q", err, c.want, c.words)
			}
		})
	}
}

// The store goes on with a half-written file of the same name, which may be of
// another image.
func TestImportsDoNotMeet(t *testing.T) {
	store := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := ownIngests{store, "killed"}.Writer(ctx, content.WithRef("tar-0a/layer.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half of another layer")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bring(ctx, ownIngests{store, "next"}, bytes.NewReader(saved(t, runtime.GOARCH).tar(t))); err != nil {
		t.Error(err)
	}
}

func TestOnlyImagesFromTheLaptopAreNamedAndRemoved(t *testing.T) {
	var nobody *Importer
	good := sandboxapi.LocalImage + strings.Repeat("0", 64)
	for _, ref := range []string{"", "debian:12", "openshell.internal/server:0123456789ab", good + "0", good[:len(good)-1], good + "\n", " " + good, strings.ToUpper(good)} {
		if err := nobody.Import(t.Context(), ref, strings.NewReader("")); !errors.Is(err, ErrName) {
			t.Errorf("import as %q: %v", ref, err)
		}
		if err := nobody.Remove(t.Context(), []string{good, ref}); !errors.Is(err, ErrName) {
			t.Errorf("remove %q: %v", ref, err)
		}
	}
}

func TestRemovedImagesLeaveNoOtherNameBehind(t *testing.T) {
	name := func(c string) string { return sandboxapi.LocalImage + strings.Repeat(c, 64) }
	var all []core.Image
	add := func(content string, names ...string) {
		for _, name := range names {
			image := core.Image{Name: name}
			image.Target.Digest = digest.FromString(content)
			all = append(all, image)
		}
	}
	add("one", name("1"), "sha256:c1")
	add("two", name("2"), "sha256:c2")
	add("both", name("3"), name("4"), "sha256:c3")
	add("preloaded", "openshell.internal/sandbox:0123456789ab", name("5"), "sha256:c4")
	for _, c := range []struct{ refs, want []string }{
		{[]string{name("1")}, []string{name("1"), "sha256:c1"}},
		{[]string{name("3")}, []string{name("3")}},
		{[]string{name("3"), name("4")}, []string{name("3"), name("4"), "sha256:c3"}},
		{[]string{name("5")}, []string{name("5")}},
		{[]string{name("9")}, nil},
	} {
		if diff := cmp.Diff(c.want, withoutHolders(all, c.refs)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.refs, diff)
		}
	}
}
