package dockertest

import (
	"context"
	"fmt"
	"io"
	"strings"

	"openshell.ai/openshell/pkg/docker"
)

// Exec implements docker.Engine.
func (f *Fake) Exec(ctx context.Context, ref string, spec docker.ExecSpec) (int, error) {
	var hook func(*Fake, docker.Container, docker.ExecSpec) (int, error)
	c, err := do(ctx, f, Call{Op: "Exec", Ref: ref, Note: strings.Join(spec.Argv, " ")}, func() (docker.Container, error) {
		hook = f.onExec
		return f.execTarget(ref)
	})
	if err != nil {
		return 0, err
	}
	if spec.Stdout == nil {
		spec.Stdout = io.Discard
	}
	if spec.Stderr == nil {
		spec.Stderr = io.Discard
	}
	if hook == nil {
		_, err := fmt.Fprintf(spec.Stderr, "%s: executable file not found\n", strings.Join(spec.Argv, " "))
		return 127, err
	}
	return hook(f, c, spec)
}

func (f *Fake) execTarget(ref string) (docker.Container, error) {
	c, err := f.get("exec in container", ref)
	if err != nil {
		return docker.Container{}, err
	}
	if c.State != docker.StateRunning {
		return docker.Container{}, docker.NewError(docker.NotRunning, "exec in container", ref, "Container %s is not running", c.ID)
	}
	return c.snapshot(), nil
}

// ExecStream implements docker.Engine.
func (f *Fake) ExecStream(ctx context.Context, ref string, argv []string) (io.ReadWriteCloser, error) {
	var hook func(*Fake, docker.Container, []string) (io.ReadWriteCloser, error)
	c, err := do(ctx, f, Call{Op: "ExecStream", Ref: ref, Note: strings.Join(argv, " ")}, func() (docker.Container, error) {
		hook = f.onExecStream
		return f.execTarget(ref)
	})
	if err != nil {
		return nil, err
	}
	if hook == nil {
		return ended{}, nil
	}
	return hook(f, c, argv)
}

// ended is the stream of a process that has exited.
type ended struct{}

func (ended) Read([]byte) (int, error)  { return 0, io.EOF }
func (ended) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (ended) Close() error              { return nil }

// Logs implements docker.Engine. With Follow it ends with the container.
func (f *Fake) Logs(ctx context.Context, ref string, opts docker.LogOptions) (io.ReadCloser, error) {
	c, err := do(ctx, f, Call{Op: "Logs", Ref: ref}, func() (*container, error) { return f.get("read logs", ref) })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	go func() {
		next := -1
		for {
			var lines []logLine
			var over bool
			err := f.until(ctx, func() bool {
				if next < 0 {
					next = firstLine(c.log, opts)
				}
				lines, over = c.log[next:], !opts.Follow || !c.running() || f.find(c.ID) == nil
				return len(lines) > 0 || over
			})
			for _, l := range lines {
				if err == nil {
					_, err = fmt.Fprintln(w, l.text)
				}
				next++
			}
			if err != nil || over {
				w.CloseWithError(err)
				return
			}
		}
	}()
	return &logReader{r, cancel}, nil
}

func firstLine(log []logLine, opts docker.LogOptions) int {
	first := 0
	if opts.Tail > 0 {
		first = max(0, len(log)-opts.Tail)
	}
	for first < len(log) && log[first].at.Before(opts.Since) {
		first++
	}
	return first
}

type logReader struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (l *logReader) Close() error {
	l.cancel()
	return l.PipeReader.Close()
}
