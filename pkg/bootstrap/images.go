package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// ImportImage streams an archive, as Engine.SaveImage gives it, into a running
// gateway, where its image is ref from then on (see sandboxapi.LocalImage). An
// import that fails or is interrupted leaves nothing under that name.
func (m *Manager) ImportImage(ctx context.Context, name gateway.Name, ref string, archive io.Reader) error {
	source := &failing{Reader: archive}
	_, code, complaint, err := m.imageCommand(ctx, name, source, "import", ref)
	switch {
	case err != nil:
		return err
	case source.failure() != nil:
		return stepError(ctx, source.failure())
	case code == 0:
		return nil
	}
	e := fault.New(fault.NodeFailed, fault.ExitFailure, "gateway %s could not take the image in", name)
	switch code {
	case nodeapi.ExitImagePlatform:
		e = fault.New(fault.ImageUnusable, fault.ExitFailure, "the image is for another kind of machine than gateway %s", name)
	case nodeapi.ExitImageArchive:
		e = fault.New(fault.ImageUnusable, fault.ExitFailure, "the Docker Engine gave no complete image to gateway %s", name)
	case nodeapi.ExitImageSpace:
		e = fault.New(fault.HostUnfit, fault.ExitFailure, "the disk of gateway %s is full", name).
			Hint("see what takes it: `docker system df`")
	}
	return e.Because(errors.New(complaint))
}

// Images are those that were imported into a running gateway.
func (m *Manager) Images(ctx context.Context, name gateway.Name) ([]nodeapi.Image, error) {
	out, code, complaint, err := m.imageCommand(ctx, name, nil, "list")
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fault.New(fault.NodeFailed, fault.ExitFailure, "gateway %s could not list its images", name).Because(errors.New(complaint))
	}
	var images []nodeapi.Image
	if err := json.Unmarshal(out, &images); err != nil {
		return nil, stepError(ctx, fmt.Errorf("images of gateway %s: %w", name, err))
	}
	return images, nil
}

// RemoveImages removes imported images from a running gateway, whether or not
// they are there. Who calls knows that no sandbox needs them.
func (m *Manager) RemoveImages(ctx context.Context, name gateway.Name, refs []string) error {
	if len(refs) == 0 {
		return nil
	}
	_, code, complaint, err := m.imageCommand(ctx, name, nil, append([]string{"remove"}, refs...)...)
	if err == nil && code != 0 {
		err = fault.New(fault.NodeFailed, fault.ExitFailure, "gateway %s could not remove images", name).Because(errors.New(complaint))
	}
	return err
}

// imageCommand runs a command of nodeapi.CmdImage in the node.
func (m *Manager) imageCommand(ctx context.Context, name gateway.Name, stdin io.Reader, args ...string) (out []byte, code int, complaint string, err error) {
	c, err := m.runningContainer(ctx, name)
	if err != nil {
		return nil, 0, "", err
	}
	var stdout, stderr bytes.Buffer
	code, err = m.Engine.Exec(ctx, c.ID, docker.ExecSpec{
		Argv: append([]string{nodeapi.KubeBinary, nodeapi.CmdImage}, args...), Stdin: stdin, Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil {
		return nil, 0, "", stepError(ctx, err)
	}
	return stdout.Bytes(), code, docker.LastLine(stderr.String()), nil
}

// failing remembers what went wrong with a stream that somebody else reads,
// and may still be reading.
type failing struct {
	io.Reader
	mu  sync.Mutex
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
	}
	return n, err
}

func (f *failing) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
