package server

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

func TestSandboxTakesSoManyCalls(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	web, other := w.add(t, "web", v1.PhaseReady), w.add(t, "other", v1.PhaseReady)
	w.logs = func(context.Context, sandboxapi.LogQuery, func(sandboxapi.LogLine)) error { return nil }
	end := make(chan struct{})
	w.exec = func(_ context.Context, _ sandboxapi.Exec, s sandboxssh.Streams) (int, error) {
		_, _ = io.WriteString(s.Stdout, "started")
		<-end
		return 0, nil
	}
	var open []openshellv1.OpenShell_ExecSandboxClient
	for range callsPerSandbox {
		stream, err := c.ExecSandbox(deadlined(t, longEnough), execOf(web.Spec.ID))
		must(t, err)
		_, err = stream.Recv()
		must(t, err)
		open = append(open, stream)
	}
	logs := func(id string) error {
		_, err := c.GetSandboxLogs(t.Context(), &openshellv1.GetSandboxLogsRequest{SandboxId: id})
		return err
	}
	if r := runExec(t, t.Context(), c, execOf(web.Spec.ID)); status.Code(r.err) != codes.ResourceExhausted {
		t.Errorf("another exec: %v", r.err)
	}
	if err := logs(web.Spec.ID); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("logs: %v", err)
	}
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: web.Spec.ID, LogTailLines: 1}).want("READY", "ResourceExhausted")
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: web.Spec.ID, StopOnTerminal: true}).want("READY", "end")
	if err := logs(other.Spec.ID); err != nil {
		t.Errorf("logs of another sandbox: %v", err)
	}
	close(end)
	for _, stream := range open {
		for {
			_, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
		}
	}
	// Calls that cannot connect count no longer than they take.
	w.unreachable(errDown)
	for range 2 * callsPerSandbox {
		if err := logs(web.Spec.ID); status.Code(err) != codes.Aborted {
			t.Fatalf("logs of a sandbox that cannot be reached: %v", err)
		}
	}
	w.unreachable(nil)
	if err := logs(web.Spec.ID); err != nil {
		t.Errorf("logs when the calls are over: %v", err)
	}
}
