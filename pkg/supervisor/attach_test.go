//go:build linux

package supervisor_test

import (
	"context"
	"crypto/sha256"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

func TestAttachLeavesTheCommandRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo first; until test -e go; do sleep 0.02; done; echo last"}, Hold: true}
	r.start()
	ctx, cancel := context.WithCancel(t.Context())
	var seen syncWriter
	failed := make(chan error, 1)
	go func() {
		_, err := r.connect().Attach(ctx, sandboxapi.Attach{Start: true}, sandboxssh.Streams{Stdout: &seen})
		failed <- err
	}()
	r.eventually("output", func() bool { return seen.String() == "first\n" })
	cancel()
	if err := <-failed; err == nil {
		t.Error("the client believes that the command ended")
	}
	r.sh("touch go")
	if got, err := r.attach(sandboxapi.Attach{}, nil); got.Stdout != "first\nlast\n" || got.Code != 0 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAttachedClientsAreCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "exit 3"}, Hold: true}
	r.start()
	seen := make(chan sandboxapi.Status, 100)
	go r.connect().Status(t.Context(), func(s sandboxapi.Status) { seen <- s })
	until := func(what string, ok func(sandboxapi.Status) bool) {
		t.Helper()
		for late := time.After(10 * time.Second); ; {
			select {
			case s := <-seen:
				if ok(s) {
					return
				}
			case <-late:
				t.Fatalf("never %s", what)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		go r.connect().Attach(ctx, sandboxapi.Attach{}, sandboxssh.Streams{})
	}
	until("two", func(s sandboxapi.Status) bool { return s.Attached == 2 && s.DetachedAt.IsZero() })
	cancel()
	until("none", func(s sandboxapi.Status) bool { return s.Attached == 0 && !s.DetachedAt.IsZero() })
	if _, err := r.attach(sandboxapi.Attach{Start: true}, nil); err != nil {
		t.Error(err)
	}
	until("none after the end", func(s sandboxapi.Status) bool {
		return s.Attached == 0 && s.Command.State == sandboxapi.CommandExited && !s.DetachedAt.Before(s.Command.EndedAt)
	})
}

type syncWriter struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *syncWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *syncWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func TestSeveralAttachAndSeeAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const lines = 300_000 // some two megabytes
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "until test -e go; do sleep 0.02; done; seq 1 300000"}}
	r.start()
	want := sequence(lines)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := r.attach(sandboxapi.Attach{}, nil); got.Stdout != want || err != nil {
				t.Errorf("%d of %d bytes, %v", len(got.Stdout), len(want), err)
			}
		})
	}
	r.sh("touch go")
	all.Wait()
	// And who comes late.
	if got, err := r.attach(sandboxapi.Attach{}, nil); got.Stdout != want || err != nil {
		t.Errorf("%d of %d bytes, %v", len(got.Stdout), len(want), err)
	}
}

func TestAttachedFromTheStartSeesMoreThanIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const mib = 40
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "head -c 41943040 /dev/zero; echo done >&2"}, Hold: true}
	r.start()
	sum, n := sha256.New(), int64(0)
	reader, writer := io.Pipe()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		n, _ = io.Copy(sum, reader)
	}()
	var errs strings.Builder
	code, err := r.connect().Attach(t.Context(), sandboxapi.Attach{Start: true}, sandboxssh.Streams{Stdout: writer, Stderr: &errs})
	writer.Close()
	<-copied
	if code != 0 || err != nil || n != mib<<20 || errs.String() != "done\n" {
		t.Errorf("code %d, %v, %d bytes, %q", code, err, n, errs.String())
	}
	got, err := r.attach(sandboxapi.Attach{}, nil)
	if len(got.Stdout) > sandboxapi.ReplayBytes || len(got.Stdout) < sandboxapi.ReplayBytes*3/4 || err != nil || got.Stderr != "done\n" {
		t.Errorf("%d bytes are replayed, %v", len(got.Stdout), err)
	}
	if used := r.sh("true"); used.Code != 0 {
		t.Error("the sandbox is gone")
	}
}

func TestStuckClientDoesNotHoldTheCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "head -c 30000000 /dev/zero; touch finished"}, Hold: true}
	r.start()
	// One that reads nothing at all, not even from its socket.
	ch, _, err := r.raw().OpenChannel(sandboxapi.ChannelAttach, []byte(`{"start":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	r.eventually("finished", r.has("finished"))
	if s := r.status(sandboxapi.CommandExited); s.ExitCode != 0 {
		t.Errorf("%+v", s)
	}
}

func TestInputOfTheCommand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		command sandboxapi.Command
		stdin   string
		want    result
	}{
		"read to its end":  {sandboxapi.Command{Argv: []string{"cat"}, Stdin: true}, "typed\n", result{0, "typed\n", ""}},
		"not asked for":    {sandboxapi.Command{Argv: []string{"cat"}}, "typed\n", result{0, "", ""}},
		"on a terminal":    {sandboxapi.Command{Argv: []string{"sh", "-c", "stty -echo; echo ready; read a; echo got $a"}, Stdin: true, TTY: true}, "typed\n", result{0, "ready\r\ngot typed\r\n", ""}},
		"end on terminals": {sandboxapi.Command{Argv: []string{"sh", "-c", "stty -echo; cat"}, Stdin: true, TTY: true}, "", result{0, "", ""}},
		"size of terminal": {sandboxapi.Command{Argv: []string{"sh", "-c", "stty size; echo $TERM"}, TTY: true}, "", result{0, "50 100\r\nvt100\r\n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tc.command.Hold = true
			r.Command = &tc.command
			r.start()
			var stdin io.Reader = strings.NewReader(tc.stdin)
			if strings.Contains(tc.want.Stdout, "ready") {
				// What is typed before echo is off would be seen.
				var typed io.WriteCloser
				stdin, typed = io.Pipe()
				go func() {
					for len(r.logs(sandboxapi.LogQuery{Sources: []string{sandboxapi.LogCommand}})) == 0 {
						time.Sleep(10 * time.Millisecond)
					}
					io.WriteString(typed, tc.stdin)
				}()
			}
			got, err := r.attach(sandboxapi.Attach{Start: true, TTY: &sandboxapi.TTY{Term: "vt100", Cols: 100, Rows: 50}}, stdin)
			if got != tc.want || err != nil {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// logs returns what a query selects.
func (r *rig) logs(q sandboxapi.LogQuery) []sandboxapi.LogLine {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	c := r.connect()
	defer c.Close()
	var lines []sandboxapi.LogLine
	if err := c.Logs(ctx, q, func(l sandboxapi.LogLine) { lines = append(lines, l) }); err != nil {
		r.t.Errorf("logs: %v", err)
	}
	return lines
}
