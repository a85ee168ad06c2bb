// Package crd_test checks what is generated from the types of resources.
package crd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const root = "../.."

func TestGeneratedFilesAreCurrent(t *testing.T) {
	fresh := t.TempDir()
	// In the package's own module, as go generate does it.
	generate := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../../tools/crd/go.mod", "controller-gen",
		"object", "crd:maxDescLen=0", "paths=.", "output:object:dir="+fresh, "output:crd:dir="+fresh)
	generate.Dir = root + "/pkg/sandbox/v1"
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("controller-gen: %v\n%s", err, out)
	}
	files, err := os.ReadDir(fresh)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"zz_generated.deepcopy.go":    "pkg/sandbox/v1",
		"openshell.ai_sandboxes.yaml": "deploy/helm/openshell/crds",
		"openshell.ai_routes.yaml":    "deploy/helm/openshell/crds",
	}
	if len(files) != len(places) {
		t.Errorf("%d files are generated, want %d", len(files), len(places))
	}
	for name, dir := range places {
		path := filepath.Join(dir, name)
		if read(t, filepath.Join(fresh, name)) != read(t, filepath.Join(root, path)) {
			t.Errorf("%s differs from what the types give: run `go generate ./pkg/sandbox/v1`", path)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
