package server

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

// What is stored says ready right after a restart that ended every process.
func TestNothingIsReadyBeforeTheControllerHasLooked(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	w.add(t, "off", v1.PhaseStopped)
	w.mu.Lock()
	w.back = true
	w.mu.Unlock()

	list, err := c.ListSandboxes(t.Context(), &openshellv1.ListSandboxesRequest{})
	must(t, err)
	got, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"})
	must(t, err)
	watch, err := c.WatchSandbox(t.Context(), &openshellv1.WatchSandboxRequest{Id: "id-of-web"})
	must(t, err)
	watched, err := watch.Recv()
	must(t, err)
	for what, s := range map[string]*datamodelv1.Sandbox{"listed": list.GetSandboxes()[1], "got": got.GetSandbox(), "watched": watched.GetSandbox()} {
		if s.GetPhase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING || s.GetStatus().GetConditions()[0].GetStatus() != "False" {
			t.Errorf("%s: %v", what, s)
		}
	}
	if _, err := c.CreateSshSession(t.Context(), &openshellv1.CreateSshSessionRequest{SandboxId: "id-of-web"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("CreateSshSession() error = %v, want FAILED_PRECONDITION", err)
	}
	if off := list.GetSandboxes()[0]; off.GetPhase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED && off.GetPhase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING {
		t.Errorf("a stopped one: %v", off)
	}
}
