package docker

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

const opExec = "exec in container"

// Exec runs a command to its end. When ctx ends the streams are closed and
// ctx's error is returned; the process then sees the end of its input.
// A Stdin that blocks keeps a goroutine until its next read returns.
func (d *engine) Exec(ctx context.Context, ref string, spec ExecSpec) (int, error) {
	conn, id, err := d.attach(ctx, ref, client.ExecCreateOptions{
		Cmd: spec.Argv, Env: spec.Env, TTY: spec.TTY,
		AttachStdin: spec.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.Close)()

	if spec.TTY && spec.Resize != nil {
		over := make(chan struct{})
		defer close(over)
		go d.resize(ctx, id, spec.Resize, over)
	}
	if spec.Stdin != nil {
		go func() {
			// An error here shows as the end of the process or of the output.
			_, _ = io.Copy(conn.Conn, spec.Stdin)
			_ = conn.CloseWrite()
		}()
	}
	stdout, stderr := orDiscard(spec.Stdout), orDiscard(spec.Stderr)
	if spec.TTY {
		_, err = io.Copy(stdout, conn.Reader)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, conn.Reader)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, d.fail(opExec, ref, err)
	}
	code, err := d.exitCode(ctx, id)
	return code, d.fail(opExec, ref, err)
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

func (d *engine) attach(ctx context.Context, ref string, opts client.ExecCreateOptions) (*client.HijackedResponse, string, error) {
	created, err := d.api.ExecCreate(ctx, ref, opts)
	if err != nil {
		return nil, "", d.fail(opExec, ref, err)
	}
	res, err := d.api.ExecAttach(ctx, created.ID, client.ExecAttachOptions{TTY: opts.TTY})
	if err != nil {
		return nil, "", d.fail(opExec, ref, err)
	}
	return &res.HijackedResponse, created.ID, nil
}

// exitCode asks until the engine has noticed the end, which may be a moment
// after the end of the output.
func (d *engine) exitCode(ctx context.Context, id string) (int, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		res, err := d.api.ExecInspect(ctx, id, client.ExecInspectOptions{})
		if err != nil || !res.Running {
			return res.ExitCode, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// resize passes terminal sizes on. The first may come before the process has
// its terminal, so it is tried again for a while; a lost size is no failure.
func (d *engine) resize(ctx context.Context, id string, sizes <-chan Size, over <-chan struct{}) {
	const tries = 10
	var size Size
	var retry <-chan time.Time
	left := tries
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case s, ok := <-sizes:
			if !ok {
				sizes = nil
				if retry == nil {
					return
				}
				continue
			}
			size, left = s, tries
		case <-retry:
		}
		_, err := d.api.ExecResize(ctx, id, client.ExecResizeOptions{Height: size.Height, Width: size.Width})
		retry = nil
		if left--; err != nil && left > 0 {
			retry = time.After(20 * time.Millisecond)
		} else if sizes == nil {
			return
		}
	}
}

// ExecStream returns a net.Conn whose CloseWrite ends the process's input.
func (d *engine) ExecStream(ctx context.Context, ref string, argv []string) (io.ReadWriteCloser, error) {
	conn, _, err := d.attach(ctx, ref, client.ExecCreateOptions{Cmd: argv, AttachStdin: true, AttachStdout: true})
	if err != nil {
		return nil, err
	}
	return &stream{Conn: conn.Conn, frames: conn.Reader}, nil
}

// LastLine is the last line of what a command said, where the reason stands.
func LastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
