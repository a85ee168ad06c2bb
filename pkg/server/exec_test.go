package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// execResult is a stream that has ended.
type execResult struct {
	stdout, stderr string
	code           *int32
	largest        int
	err            error
}

func runExec(t *testing.T, ctx context.Context, c openshellv1.OpenShellClient, request *openshellv1.ExecSandboxRequest) execResult {
	t.Helper()
	stream, err := c.ExecSandbox(ctx, request)
	must(t, err)
	var r execResult
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return r
		}
		if err != nil {
			r.err = err
			return r
		}
		if r.code != nil {
			t.Error("an event follows the exit")
		}
		r.stdout += string(event.GetStdout().GetData())
		r.stderr += string(event.GetStderr().GetData())
		r.largest = max(r.largest, len(event.GetStdout().GetData()), len(event.GetStderr().GetData()))
		if exit := event.GetExit(); exit != nil {
			r.code = &exit.ExitCode
		}
	}
}

func TestExecStreamsAndEndsWithTheExit(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	big := strings.Repeat("0123456789abcdef", 20_000)
	var got sandboxapi.Exec
	w.exec = func(_ context.Context, e sandboxapi.Exec, streams sandboxssh.Streams) (int, error) {
		got = e
		stdin, err := io.ReadAll(streams.Stdin)
		must(t, err)
		done := make(chan error)
		go func() { _, err := io.WriteString(streams.Stderr, "warning: "+string(stdin)); done <- err }()
		_, err = io.WriteString(streams.Stdout, big)
		must(t, err)
		must(t, <-done)
		return 7, nil
	}
	r := runExec(t, t.Context(), c, &openshellv1.ExecSandboxRequest{
		SandboxId: s.Spec.ID, Command: []string{"sh", "-c", "x"}, Workdir: "/tmp", Environment: map[string]string{"A": "b"}, Stdin: []byte("input"),
	})
	if r.err != nil || r.stdout != big || r.stderr != "warning: input" || r.code == nil || *r.code != 7 {
		t.Errorf("stdout of %d bytes, stderr %q, code %v, error %v", len(r.stdout), r.stderr, r.code, r.err)
	}
	if r.largest > 64<<10 {
		t.Errorf("an event has %d bytes", r.largest)
	}
	want := sandboxapi.Exec{Argv: []string{"sh", "-c", "x"}, Dir: "/tmp", Env: map[string]string{"A": "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asked of the supervisor (-want +got):\n%s", diff)
	}
}

// untilKilled is a process that ends only when it is killed.
func untilKilled(killed chan<- string) func(context.Context, sandboxapi.Exec, sandboxssh.Streams) (int, error) {
	return func(ctx context.Context, _ sandboxapi.Exec, s sandboxssh.Streams) (int, error) {
		_, _ = io.WriteString(s.Stdout, "started")
		select {
		case signal := <-s.Signals:
			killed <- signal
			return 137, nil
		case <-ctx.Done():
			killed <- "context"
			return 0, ctx.Err()
		}
	}
}

func TestExecIsKilledAfterItsTime(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	killed := make(chan string, 1)
	w.exec = untilKilled(killed)
	r := runExec(t, t.Context(), c, &openshellv1.ExecSandboxRequest{SandboxId: s.Spec.ID, Command: []string{"x"}, TimeoutSeconds: 1})
	if r.err != nil || r.code == nil || *r.code != 124 || r.stdout != "started" {
		t.Errorf("result = %+v, want exit code 124", r)
	}
	if signal := <-killed; signal != "KILL" {
		t.Errorf("ended by %s", signal)
	}
}

func TestExecIsKilledWhenTheClientGoes(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	killed := make(chan string, 1)
	w.exec = untilKilled(killed)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := c.ExecSandbox(ctx, &openshellv1.ExecSandboxRequest{SandboxId: s.Spec.ID, Command: []string{"x"}})
	must(t, err)
	_, err = stream.Recv()
	must(t, err)
	cancel()
	select {
	case signal := <-killed:
		if signal != "KILL" {
			t.Errorf("ended by %s", signal)
		}
	case <-time.After(10 * time.Second):
		t.Error("the process goes on")
	}
}

func TestExecWhoseProcessIgnoresTheKillEnds(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	w.exec = func(ctx context.Context, _ sandboxapi.Exec, _ sandboxssh.Streams) (int, error) { // a connection that hangs
		<-ctx.Done()
		return 0, ctx.Err()
	}
	r := runExec(t, t.Context(), c, &openshellv1.ExecSandboxRequest{SandboxId: s.Spec.ID, Command: []string{"x"}, TimeoutSeconds: 1})
	if r.code == nil || *r.code != 124 {
		t.Errorf("result = %+v, want exit code 124", r)
	}
}

func TestExecThatDoesNotReadHoldsTheProcessUp(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	written := make(chan int, 1<<20)
	w.exec = func(ctx context.Context, _ sandboxapi.Exec, streams sandboxssh.Streams) (int, error) {
		block := bytes.Repeat([]byte("x"), 64<<10)
		for range 1000 { // 64 MiB
			if _, err := streams.Stdout.Write(block); err != nil || ctx.Err() != nil {
				return 0, err
			}
			written <- len(block)
		}
		return 0, nil
	}
	stream, err := c.ExecSandbox(t.Context(), &openshellv1.ExecSandboxRequest{SandboxId: s.Spec.ID, Command: []string{"x"}})
	must(t, err)
	settled := -1
	for settled != len(written) || settled == 0 { // until nothing more is written
		settled = len(written)
		time.Sleep(100 * time.Millisecond)
	}
	if settled > 200 {
		t.Errorf("%d of 1000 blocks were taken from the process", settled)
	}
	total := 0
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		total += len(event.GetStdout().GetData())
	}
	if total != 1000*64<<10 {
		t.Errorf("%d bytes came", total)
	}
}

func TestExecRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		phase   v1.Phase
		reach   error
		exec    error
		request *openshellv1.ExecSandboxRequest
		want    codes.Code
		say     string
	}{
		{"no command", v1.PhaseReady, nil, nil, &openshellv1.ExecSandboxRequest{SandboxId: "id-of-web"}, codes.InvalidArgument, "command"},
		{"no id", v1.PhaseReady, nil, nil, &openshellv1.ExecSandboxRequest{Command: []string{"x"}}, codes.InvalidArgument, "sandbox_id"},
		{"unknown id", v1.PhaseReady, nil, nil, execOf("other"), codes.NotFound, "other"},
		{"the name instead of the id", v1.PhaseReady, nil, nil, execOf("web"), codes.NotFound, "no sandbox with the id web"},
		{"not ready", v1.PhaseProvisioning, nil, nil, execOf("id-of-web"), codes.FailedPrecondition, "web is not ready: the image is being pulled"},
		{"stopped", v1.PhaseStopped, nil, nil, execOf("id-of-web"), codes.FailedPrecondition, "not ready"},
		{"not ready any more", v1.PhaseReady, sandbox.ErrNotReady, nil, execOf("id-of-web"), codes.FailedPrecondition, "not ready"},
		{"gone in between", v1.PhaseReady, fmt.Errorf("x: %w", sandbox.ErrGone), nil, execOf("id-of-web"), codes.NotFound, "does not exist"},
		{"not reachable", v1.PhaseReady, errors.New("no route to 10.0.0.7"), nil, execOf("id-of-web"), codes.Aborted, "cannot be reached"},
		{"not answering in time", v1.PhaseReady, fmt.Errorf("SSH: %w", context.DeadlineExceeded), nil, execOf("id-of-web"), codes.Aborted, "cannot be reached"},
		{"asking the API failed", v1.PhaseReady, fmt.Errorf("%w: %w", sandbox.ErrUnknown, context.DeadlineExceeded), nil, execOf("id-of-web"), codes.Unavailable, "Kubernetes API"},
		{"refused by the supervisor", v1.PhaseReady, nil, &sandboxssh.Refused{Message: "too many processes"}, execOf("id-of-web"), codes.FailedPrecondition, "too many processes"},
		{"connection lost", v1.PhaseReady, nil, sandboxssh.ErrNoExit, execOf("id-of-web"), codes.Aborted, "lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _, c := startWorld(t, Config{})
			w.add(t, "web", tt.phase)
			w.unreachable(tt.reach)
			w.exec = func(context.Context, sandboxapi.Exec, sandboxssh.Streams) (int, error) { return 0, tt.exec }
			r := runExec(t, t.Context(), c, tt.request)
			if status.Code(r.err) != tt.want || !strings.Contains(r.err.Error(), tt.say) || strings.Contains(r.err.Error(), "10.0.0.7") {
				t.Errorf("error = %v, want %v with %q", r.err, tt.want, tt.say)
			}
		})
	}
}

func execOf(id string) *openshellv1.ExecSandboxRequest {
	return &openshellv1.ExecSandboxRequest{SandboxId: id, Command: []string{"x"}}
}

func TestRequestThatIsTooLargeIsRefused(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	r := runExec(t, t.Context(), c, &openshellv1.ExecSandboxRequest{SandboxId: s.Spec.ID, Command: []string{"x"}, Stdin: make([]byte, 9<<20)})
	if status.Code(r.err) != codes.ResourceExhausted {
		t.Errorf("error = %v", r.err)
	}
}

func TestPanicIsAnErrorOfOneCall(t *testing.T) {
	w, s, c := startWorld(t, Config{})
	box := w.add(t, "web", v1.PhaseReady)
	w.exec = func(context.Context, sandboxapi.Exec, sandboxssh.Streams) (int, error) { panic("at the disco") }
	w.logs = func(context.Context, sandboxapi.LogQuery, func(sandboxapi.LogLine)) error { panic("in the log") }
	if r := runExec(t, t.Context(), c, execOf(box.Spec.ID)); status.Code(r.err) != codes.Internal || strings.Contains(r.err.Error(), "disco") {
		t.Errorf("stream: %v", r.err)
	}
	if _, err := c.GetSandboxLogs(t.Context(), &openshellv1.GetSandboxLogsRequest{SandboxId: box.Spec.ID}); status.Code(err) != codes.Internal {
		t.Errorf("call: %v", err)
	}
	if _, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"}); err != nil {
		t.Errorf("the call after: %v", err)
	}
	if log := s.log.String(); !strings.Contains(log, "at the disco") || !strings.Contains(log, "exec_test.go") {
		t.Errorf("the log lacks the panic and its place:\n%s", log)
	}
}
