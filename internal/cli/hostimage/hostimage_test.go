package hostimage

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

func TestParseTellsDirectoriesFromReferences(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, d := range []string{"app", "python"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"app/Dockerfile", "Dockerfile.dev", "x.Dockerfile", "ubuntu"} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]Source{
		"app":            {context: "app", dockerfile: "app/Dockerfile"},
		"./app":          {context: "./app", dockerfile: "app/Dockerfile"},
		dir + "/app":     {context: dir + "/app", dockerfile: dir + "/app/Dockerfile"},
		"app/Dockerfile": {context: "app", dockerfile: "app/Dockerfile"},
		"Dockerfile.dev": {context: ".", dockerfile: "Dockerfile.dev"},
		"x.Dockerfile":   {context: ".", dockerfile: "x.Dockerfile"},
		"./ubuntu":       {context: ".", dockerfile: "./ubuntu"},
		"python":         {}, // there is such a directory, without a Dockerfile
		"ubuntu":         {}, // there is such a file, which says nothing
		"python:3.13":    {},
		"a.example:5000/b/c@sha256:" + strings.Repeat("0", 64): {},
	} {
		want.Name = from
		if got, err := Parse(from); err != nil || got != want {
			t.Errorf("%q: %+v, %v", from, got, err)
		}
	}
	for _, from := range []string{"", ".", "./python", "./none", "../none", "/none", "No Image", "A", "-x", "--help", "a:b:c"} {
		if got, err := Parse(from); !fault.HasID(err, fault.BadValue) {
			t.Errorf("%q: %+v, %v", from, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("python:3.13")
	f.Add("./x")
	f.Add("-v")
	f.Fuzz(func(t *testing.T, from string) {
		source, err := Parse(from)
		if err == nil && source.context == "" && (strings.HasPrefix(from, "-") || strings.ContainsAny(from, " \n\x00")) {
			t.Errorf("%q is a reference", from)
		}
	})
}

type noImages struct{}

func (noImages) Image(_ context.Context, ref string) (docker.Image, error) {
	return docker.Image{}, docker.NewError(docker.NotFound, "inspect image", ref, "no such image")
}

func TestWithoutTheDockerCommand(t *testing.T) {
	t.Setenv("PATH", "")
	h := Host{Engine: noImages{}, Endpoint: "unix:///x", Output: io.Discard, Step: func(string, string) func(error) { return func(error) {} }}
	_, err := h.Get(t.Context(), Source{Name: "python"})
	if !fault.HasID(err, fault.ImageUnusable) || !errors.Is(err, exec.ErrNotFound) {
		t.Error(err)
	}
}

func TestAnEngineThatFailsIsNotAnImageThatIsAbsent(t *testing.T) {
	t.Setenv("PATH", "")
	failure := docker.NewError(docker.Unreachable, "inspect image", "x", "no answer")
	h := Host{Engine: failing{failure}, Output: io.Discard}
	if _, err := h.Get(t.Context(), Source{Name: "python"}); !errors.Is(err, failure) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Image(context.Context, string) (docker.Image, error) { return docker.Image{}, f.err }

func TestTailIsTheEndInOneLine(t *testing.T) {
	var end tail
	for range 1000 {
		io.WriteString(&end, "noise noise noise\n")
	}
	io.WriteString(&end, "\none\n\n  two  \nthree")
	if got := end.last(); got != "two; three" {
		t.Errorf("%q", got)
	}
	if len(end.kept) > tailBytes {
		t.Errorf("%d bytes are kept", len(end.kept))
	}
	if got := new(tail).last(); got != "" {
		t.Errorf("%q", got)
	}
}

func TestLabelsNameADirectory(t *testing.T) {
	if got := (Source{Name: "."}).Label(); !filepath.IsAbs(got) {
		t.Errorf("%q", got)
	}
	if got := (Source{Name: "./app"}).Label(); got != "./app" {
		t.Errorf("%q", got)
	}
}
