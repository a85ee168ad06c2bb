package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func TestLogsAreTheLastLines(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	var asked sandboxapi.LogQuery
	w.logs = func(_ context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
		asked = q
		for i := range 5 {
			line(sandboxapi.LogLine{At: time.UnixMilli(int64(i)), Source: "command", Level: "info", Stream: "stdout", Message: fmt.Sprintf("line %d \xff", i)})
		}
		return nil
	}
	got, err := c.GetSandboxLogs(t.Context(), &openshellv1.GetSandboxLogsRequest{
		SandboxId: s.Spec.ID, Lines: 1, SinceMs: 42, Sources: []string{"command"}, MinLevel: "info",
	})
	must(t, err)
	want := &openshellv1.GetSandboxLogsResponse{BufferTotal: 5, Logs: []*openshellv1.SandboxLogLine{{
		SandboxId: s.Spec.ID, TimestampMs: 4, Level: "info", Target: "command", Source: "command", Message: "line 4 �", Fields: map[string]string{"stream": "stdout"},
	}}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("GetSandboxLogs() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sandboxapi.LogQuery{Since: time.UnixMilli(42), Sources: []string{"command"}, Level: "info"}, asked); diff != "" {
		t.Errorf("asked of the supervisor (-want +got):\n%s", diff)
	}
}

func TestLogsFitIntoAMessage(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	w.logs = func(_ context.Context, _ sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
		for i := range 20 {
			line(sandboxapi.LogLine{Message: fmt.Sprint(i) + strings.Repeat("x", 1<<20)})
		}
		return nil
	}
	got, err := c.GetSandboxLogs(t.Context(), &openshellv1.GetSandboxLogsRequest{SandboxId: s.Spec.ID})
	must(t, err)
	if n := len(got.GetLogs()); n == 0 || n > 3 || !strings.HasPrefix(got.GetLogs()[n-1].GetMessage(), "19") || got.GetBufferTotal() != 20 {
		t.Errorf("%d lines of %d came", n, got.GetBufferTotal())
	}
}

func TestLogRefusals(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	w.add(t, "new", v1.PhaseProvisioning)
	w.logs = func(context.Context, sandboxapi.LogQuery, func(sandboxapi.LogLine)) error { return errors.New("lost") }
	for _, tt := range []struct {
		name    string
		request *openshellv1.GetSandboxLogsRequest
		want    codes.Code
	}{
		{"unknown", &openshellv1.GetSandboxLogsRequest{SandboxId: "other"}, codes.NotFound},
		{"not running", &openshellv1.GetSandboxLogsRequest{SandboxId: "id-of-new"}, codes.FailedPrecondition},
		{"level", &openshellv1.GetSandboxLogsRequest{SandboxId: "id-of-web", MinLevel: "x"}, codes.InvalidArgument},
		{"source", &openshellv1.GetSandboxLogsRequest{SandboxId: "id-of-web", Sources: []string{"x"}}, codes.InvalidArgument},
		{"connection lost", &openshellv1.GetSandboxLogsRequest{SandboxId: "id-of-web"}, codes.Aborted},
	} {
		if _, err := c.GetSandboxLogs(t.Context(), tt.request); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestLogsOfASandboxThatDoesNotRun(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "broken", v1.PhaseError)
	stopped := w.add(t, "stopped", v1.PhaseStopped)
	stopped.Spec.Stopped = true
	must(t, w.Update(t.Context(), stopped))
	for id, want := range map[string]string{
		"id-of-stopped": "logs can be read while a sandbox runs: sandbox stopped is stopped; start it first",
		"id-of-broken":  "logs can be read while a sandbox runs: sandbox broken is not ready: the image is being pulled",
	} {
		_, err := c.GetSandboxLogs(t.Context(), &openshellv1.GetSandboxLogsRequest{SandboxId: id})
		if got := status.Convert(err); got.Code() != codes.FailedPrecondition || got.Message() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
