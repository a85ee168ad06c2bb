// Package hostimage gets the image of a sandbox onto this machine's Docker
// Engine, by the docker command: its logins, proxies and builders are what the
// user has set up.
package hostimage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/reference"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

const (
	waitDelay = 5 * time.Second // for docker to end after an interrupt

	tailBytes = 4 << 10
	tailLines = 2
)

// Engine is the part of a Docker Engine that is used here.
type Engine interface {
	Image(ctx context.Context, ref string) (docker.Image, error)
}

// Host is this machine.
type Host struct {
	Engine   Engine
	Endpoint string                               // of the engine, for `docker --host`
	Output   io.Writer                            // what docker says of its progress
	Step     func(name, cause string) func(error) // reports a step; the result ends it
}

// Source is where an image comes from.
type Source struct {
	Name string // as the user said

	context, dockerfile string // of a build; empty: Name is a reference
}

// Parse tells a directory with a Dockerfile, or the path of one, from an image
// reference. A word that could be either is a directory only if a Dockerfile is
// in it.
func Parse(from string) (Source, error) {
	pathlike := from == "." || from == ".." || strings.HasPrefix(from, "./") || strings.HasPrefix(from, "../") || filepath.IsAbs(from)
	info, err := os.Stat(from)
	switch {
	case err == nil && info.IsDir():
		file := filepath.Join(from, "Dockerfile")
		if _, err := os.Stat(file); err == nil {
			return Source{Name: from, context: from, dockerfile: file}, nil
		}
		if pathlike {
			return Source{}, badFrom("--from names the directory %s, which has no Dockerfile", from)
		}
	case err == nil && (pathlike || isDockerfile(from)):
		return Source{Name: from, context: filepath.Dir(from), dockerfile: from}, nil
	case pathlike:
		if !errors.Is(err, fs.ErrNotExist) {
			return Source{}, badFrom("%s cannot be read", from).Because(err)
		}
		return Source{}, badFrom("there is no directory or Dockerfile %s", from)
	}
	if _, err := reference.ParseAnyReference(from); err != nil {
		return Source{}, badFrom("--from %q is neither an image reference nor a directory with a Dockerfile", from)
	}
	return Source{Name: from}, nil
}

func isDockerfile(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, "Dockerfile") || strings.HasSuffix(name, ".Dockerfile")
}

func badFrom(format string, args ...any) *fault.Error {
	return fault.New(fault.BadValue, fault.ExitUsage, format, args...)
}

// Get has the image on the engine: built, found or pulled.
func (h Host) Get(ctx context.Context, from Source) (docker.Image, error) {
	if from.context != "" {
		return h.build(ctx, from)
	}
	img, err := h.Engine.Image(ctx, from.Name)
	if !docker.IsNotFound(err) {
		return img, err
	}
	done := h.Step("pull image", from.Name)
	last, err := h.docker(ctx, "pull", "--", from.Name)
	if err == nil {
		img, err = h.Engine.Image(ctx, from.Name)
	} else if ctx.Err() == nil {
		err = fault.New(fault.ImageUnusable, fault.ExitFailure, "the image %s is not on this machine and cannot be pulled", from.Name).
			Hint("`docker pull %s` has to work, or name a directory with a Dockerfile", from.Name).Because(dockerError(err, last))
	}
	done(err)
	return img, err
}

func (h Host) build(ctx context.Context, from Source) (docker.Image, error) {
	dir, err := os.MkdirTemp("", "openshell-build-")
	if err != nil {
		return docker.Image{}, err
	}
	defer os.RemoveAll(dir)
	idFile := filepath.Join(dir, "id")
	done := h.Step("build image", from.Name)
	last, err := h.docker(ctx, "build", "--iidfile", idFile, "--file", from.dockerfile, "--", from.context)
	if err != nil {
		if ctx.Err() == nil {
			err = fault.New(fault.BuildFailed, fault.ExitFailure, "the image of %s could not be built", from.Name).
				Hint("`docker build --file %s %s` shows the same error", from.dockerfile, from.context).Because(dockerError(err, last))
		}
		done(err)
		return docker.Image{}, err
	}
	id, err := os.ReadFile(idFile)
	var img docker.Image
	if err == nil {
		img, err = h.Engine.Image(ctx, strings.TrimSpace(string(id)))
	}
	done(err)
	return img, err
}

// docker runs the docker command and returns the last lines it wrote.
func (h Host) docker(ctx context.Context, args ...string) (last string, err error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"--host", h.Endpoint}, args...)...)
	// A builder of another kind would keep the image to itself.
	cmd.Env = append(os.Environ(), "BUILDX_BUILDER=default")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = waitDelay
	var tail tail
	cmd.Stdout, cmd.Stderr = io.MultiWriter(h.Output, &tail), nil
	cmd.Stderr = cmd.Stdout // one stream, in order
	err = cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return tail.last(), err
}

// dockerError is why docker failed: its own last lines, or that it could not be run.
func dockerError(err error, last string) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && last != "" {
		return errors.New(last)
	}
	return err
}

// tail keeps the end of what is written.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// last are the last lines that say something.
func (t *tail) last() string {
	var lines []string
	for _, line := range bytes.Split(t.kept, []byte("\n")) {
		if text := strings.TrimSpace(string(line)); text != "" {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines[max(0, len(lines)-tailLines):], "; ")
}

// Label is what a sandbox remembers of where its image came from.
func (s Source) Label() string {
	if s.Name == "." || s.Name == ".." {
		if path, err := filepath.Abs(s.Name); err == nil {
			return path
		}
	}
	return s.Name
}
