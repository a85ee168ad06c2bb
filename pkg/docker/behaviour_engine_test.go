//go:build engine

package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"openshell.ai/openshell/pkg/docker"
)

const (
	engineImage  = "openshell-docker-test-probe:latest"
	enginePrefix = "openshell-docker-test-"
)

func TestBehaviourOfTheEngine(t *testing.T) { runBehaviours(t, engineLab) }

// TestMain removes the images that the tests loaded and tagged.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := removeImages(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func removeImages(ctx context.Context) error {
	api, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer api.Close()
	list, err := api.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("label", "lab.image="+engineImage)})
	if err != nil {
		return err
	}
	for _, img := range list.Items {
		if _, err := api.ImageRemove(ctx, img.ID, client.ImageRemoveOptions{Force: true}); err != nil {
			return err
		}
	}
	return nil
}

func connect(t *testing.T) docker.Engine {
	t.Helper()
	e, err := docker.Connect(t.Context(), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func engineLab(t *testing.T) lab {
	t.Helper()
	e := connect(t)
	if _, err := e.LoadImage(t.Context(), bytes.NewReader(probeImage(t)), nil); err != nil {
		t.Fatal(err)
	}
	clean := func() {
		ctx := context.Background()
		cs, err := e.Containers(ctx, nil)
		if err != nil {
			t.Error(err)
		}
		for _, c := range cs {
			if strings.HasPrefix(c.Name, enginePrefix) {
				if err := e.RemoveContainer(ctx, c.ID); err != nil && !docker.IsNotFound(err) {
					t.Error(err)
				}
			}
		}
		vs, _ := e.Volumes(ctx, nil)
		for _, v := range vs {
			if strings.HasPrefix(v.Name, enginePrefix) {
				_ = e.RemoveVolume(ctx, v.Name)
			}
		}
		ns, _ := e.Networks(ctx)
		for _, n := range ns {
			if strings.HasPrefix(n.Name, enginePrefix) {
				_ = e.RemoveNetwork(ctx, n.ID)
			}
		}
	}
	clean()
	t.Cleanup(clean)
	port := freePort(t)
	var held net.Listener
	return lab{
		Engine: e, image: engineImage, prefix: enginePrefix, subnet: netip.MustParsePrefix("10.213.77.0/24"), port: port,
		startLog: "ready\nwarned\n",
		hold: func(t *testing.T, hold bool) {
			if !hold {
				must(t, held.Close())
				return
			}
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			must(t, err)
			held = l
		},
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

var buildProbe = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(bin)
})

// probeImage is an archive as `docker save` writes it, of an image that holds
// the probe and /etc/motd alone.
func probeImage(t *testing.T) []byte {
	t.Helper()
	bin, err := buildProbe()
	must(t, err)
	layer := archive(t, map[string][]byte{"probe": bin, "etc/motd": []byte("of the image\n")})
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "2026-01-02T03:04:05Z",
		"config": map[string]any{
			"Entrypoint": []string{"/probe"}, "Labels": map[string]string{"flavour": "plain", "lab.image": engineImage},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	must(t, err)
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{engineImage}, "Layers": []string{"layer.tar"}},
	})
	must(t, err)
	return archive(t, map[string][]byte{"manifest.json": manifest, "config.json": config, "layer.tar": layer})
}

func archive(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) { // in one order, so that the image has one id
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}))
		_, err := w.Write(files[name])
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}
