package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/docker/go-units"

	"openshell.ai/openshell/internal/cli/hostimage"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// hostImage is the image of --from on this machine's engine. Without --from it
// is empty, and the gateway has an image of its own.
type hostImage struct {
	engine Engine
	image  docker.Image
	name   string
}

func (i *hostImage) close() {
	if i.engine != nil {
		i.engine.Close()
	}
}

// hostImage builds, finds or pulls the image of --from.
func (c *creation) hostImage(ctx context.Context) (*hostImage, error) {
	if c.source == nil {
		return &hostImage{}, nil
	}
	engine, err := c.deps.Engine(ctx)
	if err != nil {
		return nil, err
	}
	i := &hostImage{engine: engine, name: c.source.Name}
	host := hostimage.Host{Engine: engine, Endpoint: engine.Endpoint(), Output: c.deps.Err, Step: func(string, string) func(error) { return func(error) {} }}
	if c.output.json() {
		reportDocker(c.progress, &host)
	}
	if i.image, err = host.Get(ctx, *c.source); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// reportDocker makes events of what docker writes; elsewhere it stands among
// our lines as it is.
func reportDocker(progress *steps, host *hostimage.Host) {
	lines := &lineWriter{}
	host.Output = lines
	host.Step = func(name, cause string) func(error) {
		end := progress.begin(name, cause)
		lines.set(func(line string) { progress.detail(name, line) })
		return func(err error) { end(err == nil) }
	}
}

// provide has the image in the gateway. Until unlock is called nobody removes
// it. ref is empty for the gateway's own.
func (i *hostImage) provide(ctx context.Context, c *creation) (ref string, unlock func(), err error) {
	if i.engine == nil {
		return "", func() {}, nil
	}
	_, id, found := strings.Cut(i.image.ID, "sha256:")
	if !found || len(id) != 64 {
		return "", nil, fault.New(fault.DockerFailed, fault.ExitFailure, "the id %q of image %s is not of the form that is known", i.image.ID, i.name)
	}
	ref = sandboxapi.LocalImage + id
	host, err := c.deps.Host()
	if err != nil {
		return "", nil, err
	}
	unlock, err = host.LockImages(ctx, c.on, func(holder string) { c.progress.note("waiting for " + holder) })
	if err != nil {
		return "", nil, err
	}
	if err := i.importTo(ctx, c, ref); err != nil {
		unlock()
		return "", nil, err
	}
	return ref, unlock, nil
}

func (i *hostImage) importTo(ctx context.Context, c *creation, ref string) error {
	present, err := i.engine.Images(ctx, c.on)
	if err != nil {
		return err
	}
	for _, image := range present {
		if image.Ref == ref {
			return nil
		}
	}
	step := "import image"
	end := c.progress.begin(step, i.name)
	archive, err := i.engine.SaveImage(ctx, i.image.ID)
	if err != nil {
		end(false)
		return err
	}
	defer archive.Close()
	counted := &countingReader{r: archive}
	stop := c.deps.meter(c.progress, c.output, step, func() string {
		return fmt.Sprintf("%s, %s of about %s", i.name, units.HumanSize(float64(counted.n.Load())), units.HumanSize(float64(i.image.Size)))
	})
	err = i.engine.ImportImage(ctx, c.on, ref, counted)
	stop()
	end(err == nil)
	return err
}

type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// lineWriter hands on what is written line by line.
type lineWriter struct {
	mu      sync.Mutex
	line    func(string)
	pending []byte
}

func (l *lineWriter) set(line func(string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = line
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, p...)
	for {
		end := bytes.IndexAny(l.pending, "\r\n")
		if end < 0 {
			return len(p), nil
		}
		if text := strings.TrimSpace(string(l.pending[:end])); text != "" && l.line != nil {
			l.line(text)
		}
		l.pending = l.pending[end+1:]
	}
}
