package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// imageStore plays openshell-kube's command image.
type imageStore struct {
	content map[string]string // by name
	code    int               // of imports to come
}

func (s *imageStore) exec(_ *dockertest.Fake, _ docker.Container, spec docker.ExecSpec) (int, error) {
	args, ours := cutPrefix(spec.Argv, nodeapi.KubeBinary, nodeapi.CmdImage)
	if !ours {
		return 127, nil
	}
	switch args[0] {
	case "import":
		data, err := io.ReadAll(spec.Stdin)
		if err != nil { // as the process sees it
			fmt.Fprintln(spec.Stderr, "error: unexpected EOF")
			return nodeapi.ExitImageArchive, nil
		}
		if s.code != 0 {
			fmt.Fprintln(spec.Stderr, "a warning\nerror: the reason")
			return s.code, nil
		}
		s.content[args[1]] = string(data)
	case "list":
		images := []nodeapi.Image{}
		for ref, data := range s.content {
			images = append(images, nodeapi.Image{Ref: ref, Size: int64(len(data))})
		}
		return 0, json.NewEncoder(spec.Stdout).Encode(images)
	case "remove":
		for _, ref := range args[1:] {
			delete(s.content, ref)
		}
	}
	return 0, nil
}

func cutPrefix(argv []string, prefix ...string) ([]string, bool) {
	if len(argv) < len(prefix) || !cmp.Equal(argv[:len(prefix)], prefix) {
		return nil, false
	}
	return argv[len(prefix):], true
}

var localRef = sandboxapi.LocalImage + strings.Repeat("a", 64)

func TestImagesGoInAndOut(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		store := &imageStore{content: map[string]string{}}
		r.engine.OnExec(store.exec)
		ctx := t.Context()
		if err := r.m.ImportImage(ctx, testName, localRef, strings.NewReader("layers")); err != nil {
			t.Fatal(err)
		}
		have, err := r.m.Images(ctx, testName)
		if diff := cmp.Diff([]nodeapi.Image{{Ref: localRef, Size: 6}}, have); diff != "" || err != nil {
			t.Errorf("%v, %s", err, diff)
		}
		if err := r.m.RemoveImages(ctx, testName, []string{localRef, localRef[:len(localRef)-1] + "b"}); err != nil {
			t.Error(err)
		}
		if len(store.content) > 0 {
			t.Errorf("left: %v", store.content)
		}
	})
}

func TestAnImportThatFailsSaysWhy(t *testing.T) {
	for code, want := range map[int]struct {
		id    fault.ID
		words string
	}{
		nodeapi.ExitImagePlatform: {fault.ImageUnusable, "another kind of machine"},
		nodeapi.ExitImageArchive:  {fault.ImageUnusable, "no complete image"},
		nodeapi.ExitImageSpace:    {fault.HostUnfit, "disk"},
		1:                         {fault.NodeFailed, "could not take"},
	} {
		t.Run(string(want.id)+" "+want.words, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				store := &imageStore{content: map[string]string{}, code: code}
				r.engine.OnExec(store.exec)
				err := r.m.ImportImage(t.Context(), testName, localRef, strings.NewReader("layers"))
				if !fault.HasID(err, want.id) || !strings.Contains(err.Error(), want.words) || !strings.HasSuffix(err.Error(), "error: the reason") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// What the node says of an archive that ends early is not the reason.
func TestAnImportWhoseSourceFailsSaysWhy(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		store := &imageStore{content: map[string]string{}}
		r.engine.OnExec(store.exec)
		cause := docker.NewError(docker.Unreachable, "save image", "x", "unexpected EOF")
		err := r.m.ImportImage(t.Context(), testName, localRef, io.MultiReader(strings.NewReader("lay"), iotest.ErrReader(cause)))
		if !errors.Is(err, cause) || !fault.HasID(err, fault.DockerUnreachable) || len(store.content) > 0 {
			t.Errorf("%v, %v", err, store.content)
		}
	})
}

func TestImagesNeedARunningGateway(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		if _, err := r.m.Images(t.Context(), testName); !fault.HasID(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
		r.mustStart(StartOptions{})
		r.stop()
		for what, err := range map[string]error{
			"import": r.m.ImportImage(t.Context(), testName, localRef, strings.NewReader("")),
			"remove": r.m.RemoveImages(t.Context(), testName, []string{localRef}),
		} {
			if !fault.HasID(err, fault.NotRunning) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}
