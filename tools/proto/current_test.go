// Package proto_test checks the generated code against the .proto files.
package proto_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

func TestGeneratedCodeIsCurrent(t *testing.T) {
	fresh := t.TempDir()
	buf(t, "generate", root+"/proto", "--template", root+"/proto/buf.gen.yaml", "--output", fresh)
	want, got := generated(t, filepath.Join(fresh, "pkg/api")), generated(t, root+"/pkg/api")
	for path, content := range want {
		if got[path] != content {
			t.Errorf("pkg/api/%s differs from what the .proto files give: run `go generate ./pkg/api`", path)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("pkg/api/%s comes from no .proto file: remove it", path)
		}
	}
}

func TestContractPassesLint(t *testing.T) {
	buf(t, "lint", root+"/proto")
}

func buf(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"tool", "buf"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("buf %s: %v\n%s", args[0], err, out)
	}
}

// generated maps the paths of the generated files under dir to their content.
func generated(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".pb.go") && !strings.HasSuffix(path, ".pb.gw.go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
