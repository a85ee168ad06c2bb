package images

import (
	"strings"
	"testing"

	core "github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestOutdatedSparesWhatMayStillBeNeeded(t *testing.T) {
	const server = "openshell.internal/server:"
	var all []core.Image
	add := func(content string, names ...string) {
		for _, name := range names {
			image := core.Image{Name: name}
			image.Target.Digest = digest.FromString(content)
			all = append(all, image)
		}
	}
	add("current", server+"current", "sha256:c0")
	add("in use", server+"in-use", "sha256:c1")
	add("old", server+"old", "sha256:c2")
	add("older", server+"older", server+"older-too")
	add("current", server+"same-content")
	add("other use", server+"other-use", "example.com/tools:1")
	add("tools", "openshell.internal/server-tools:old", "sha256:c3")
	add("sandbox", "openshell.internal/sandbox:old")
	add("nameless", "sha256:c4")
	add("from the laptop", "openshell.internal/image:"+strings.Repeat("0", 64), "sha256:c5")

	got := outdated(all, server+"current", []string{server + "in-use", "openshell.internal/sandbox:other"})
	want := []string{server + "old", "sha256:c2", server + "older", server + "older-too"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outdated differs (-want +got):\n%s", diff)
	}
}
