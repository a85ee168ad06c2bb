package bootstrap

import (
	"os"
	"path/filepath"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
)

// archive writes a file that the engine in memory loads as an image.
func archive(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.tar")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodArchive = rigImage + " " + imageLabel + "=" + imageKind + " " + imageVersionLabel + "=" + rigVersion

// forgetImage removes the node image altogether.
func (r *rig) forgetImage() { r.engine.RemoveImage(r.image().ID) }

func (r *rig) image() docker.Image {
	r.t.Helper()
	img, err := r.engine.Image(r.t.Context(), rigImage)
	if err != nil {
		r.t.Fatal(err)
	}
	return img
}

func TestDryRunPromisesNoEndpointItDoesNotKnow(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		img := r.image()
		r.forgetImage()
		if res, err := r.start(StartOptions{DryRun: true}); err != nil || res.Endpoint != "" {
			t.Errorf("%+v, %v", res, err)
		}
		r.engine.AddImage(img.Labels, rigImage)
		r.mustStart(StartOptions{})
		res, err := r.start(StartOptions{DryRun: true, Port: ptr(9000)})
		if err != nil || res.Endpoint != "https://127.0.0.1:9000" || len(res.Notes) != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

func TestFreshStartLoadsAnArchive(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.forgetImage()
		res := r.mustStart(StartOptions{ImageArchive: archive(t, goodArchive)})
		if res.Action != "fresh" || res.Changed[0] != string(LoadImage) {
			t.Errorf("%+v", res)
		}
	})
}

func TestResumeLoadsAnArchiveOnlyWhenTheImageIsGone(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.identity()
		r.engine.Remove(resource)
		r.forgetImage()
		r.mustFail(StartOptions{}, fault.ImageMissing)
		r.mustFail(StartOptions{ImageArchive: archive(t, "debian:12")}, fault.BadValue)
		r.mustFail(StartOptions{ImageArchive: "/does/not/exist"}, fault.BadValue)
		r.mustStart(StartOptions{ImageArchive: archive(t, goodArchive)})
		if r.identity() != before {
			t.Errorf("identity %q, before %q", r.identity(), before)
		}
		// The new build is the gateway's image from now on.
		r.engine.Remove(resource)
		r.mustStart(StartOptions{})
	})
}

func TestOnlyAFreshStartPulls(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.forgetImage()
		e := r.mustFail(StartOptions{}, fault.ImageMissing)
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v; %v", left, e)
		}
		r.engine.Intercept(func(c dockertest.Call) error {
			if c.Op == "PullImage" {
				r.engine.AddImage(map[string]string{imageLabel: imageKind, imageVersionLabel: rigVersion}, c.Ref)
			}
			return nil
		})
		if res := r.mustStart(StartOptions{}); res.Changed[0] != string(PullImage) {
			t.Errorf("%+v", res)
		}
	})
}
