//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// imageLike makes an image ref from the node image, changed as the lines of a
// Dockerfile say. It goes when the test ends, and with it what is called ref by
// then; an image that a container still uses stays.
func imageLike(t testing.TB, ref string, changes ...string) {
	t.Helper()
	container := docker(t, "container", "create", nodeImage(t))
	args := []string{"container", "commit"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	id := docker(t, append(args, container, ref)...)
	docker(t, "container", "rm", container)
	t.Cleanup(func() {
		for _, image := range []string{ref, id} {
			run(t, nil, "", "docker", "image", "rm", image)
		}
	})
}

// Footprint is everything that there is of a gateway outside its volume: what
// Docker has by its name, foreign or not, and the host's files.
func (g *Gateway) Footprint(t *testing.T) map[string]string {
	t.Helper()
	footprint := g.hostFiles(t)
	for kind, format := range map[string]string{
		"container": "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{json .HostConfig.PortBindings}}",
		"volume":    "{{.CreatedAt}} {{json .Labels}}",
		"network":   "{{.Id}} {{json .IPAM.Config}}",
	} {
		if g.exists(t, kind) {
			footprint[kind] = g.docker(t, kind, "inspect", "--format", format, g.Resource())
		}
	}
	return footprint
}

// Untouched ends the test unless the footprint is what it was.
func (g *Gateway) Untouched(t *testing.T, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, g.Footprint(t)); diff != "" {
		t.Fatalf("something was changed (-before +after):\n%s", diff)
	}
}

// SavedLog is the log of the last failure. The result has to say where it is.
func (g *Gateway) SavedLog(t testing.TB, r Result) string {
	t.Helper()
	path := filepath.Join(g.Dir(), "last-failure.log")
	r.Says(t, path)
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, node, ok := bytes.Cut(log, []byte("\nnode log:\n")); !ok || len(bytes.TrimSpace(node)) == 0 {
		t.Errorf("%s does not hold the node's log:\n%s", path, log)
	}
	return string(log)
}
