package translate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

const (
	hostKey     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMWTHBgDv21+xcsWzncLbPsk6NbqhgKO40OT2i8ZZSpq"
	fingerprint = "SHA256:uKgDoZaaPnrb9QKTe7qd30O+IMLmRO/rw4HtGQkH5sQ"
)

func TestSandbox(t *testing.T) {
	at := metav1.NewTime(time.Unix(1_700_000_000, 0))
	got := Sandbox(&v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "boxes", CreationTimestamp: at},
		Spec: v1.SandboxSpec{
			ID: "abc", Image: "debian:12", LogLevel: "warn", Ephemeral: true,
			Command:   &v1.Command{Argv: []string{"make"}, TTY: true, Stdin: true, Hold: true, NoRestart: true},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("2")}},
			Labels:    map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
		},
		Status: v1.SandboxStatus{
			Phase: v1.PhaseReady, HostKey: hostKey,
			Command: &v1.CommandStatus{State: "exited", ExitCode: 7, StartedAt: &at, EndedAt: &at, Runs: 2, Message: "m"},
			Conditions: []metav1.Condition{{
				Type: "Ready", Status: "True", Reason: "SupervisorAnswers", Message: "the supervisor answers", LastTransitionTime: at,
			}},
		},
	})
	want := &datamodelv1.Sandbox{
		Id: "abc", Name: "web", Namespace: "boxes", CreatedAtMs: 1_700_000_000_000, Phase: datamodelv1.SandboxPhase_SANDBOX_PHASE_READY,
		Spec: &datamodelv1.SandboxSpec{
			LogLevel: "warn", Ephemeral: true, Command: []string{"make"}, Tty: true, Stdin: true, Hold: true,
			CommandRestart: datamodelv1.CommandRestart_COMMAND_RESTART_NO,
			Template: &datamodelv1.SandboxTemplate{
				Image: "debian:12", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
				Resources: object(t, map[string]any{"limits": map[string]any{"cpu": "2"}}),
			},
		},
		Status: &datamodelv1.SandboxStatus{
			SandboxName: "web", AgentPod: "abc", SshHostKey: hostKey, SshHostKeyFingerprint: fingerprint,
			Command: &datamodelv1.CommandStatus{
				State: datamodelv1.CommandState_COMMAND_STATE_EXITED, ExitCode: 7,
				StartedAtMs: 1_700_000_000_000, EndedAtMs: 1_700_000_000_000, Runs: 2, Message: "m",
			},
			Conditions: []*datamodelv1.SandboxCondition{{
				Type: "Ready", Status: "True", Reason: "SupervisorAnswers", Message: "the supervisor answers", LastTransitionTime: "2023-11-14T22:13:20Z",
			}},
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("Sandbox() (-want +got):\n%s", diff)
	}
}

func TestPhase(t *testing.T) {
	now := metav1.Now()
	for _, tt := range []struct {
		name    string
		sandbox v1.Sandbox
		want    datamodelv1.SandboxPhase
	}{
		{"new", v1.Sandbox{}, datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING},
		{"provisioning", v1.Sandbox{Status: v1.SandboxStatus{Phase: v1.PhaseProvisioning}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING},
		{"ready", v1.Sandbox{Status: v1.SandboxStatus{Phase: v1.PhaseReady}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_READY},
		{"error", v1.Sandbox{Status: v1.SandboxStatus{Phase: v1.PhaseError}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR},
		{"stopped", v1.Sandbox{Spec: v1.SandboxSpec{Stopped: true}, Status: v1.SandboxStatus{Phase: v1.PhaseStopped}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED},
		{"just started", v1.Sandbox{Status: v1.SandboxStatus{Phase: v1.PhaseStopped}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING},
		{"going while ready", v1.Sandbox{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Status: v1.SandboxStatus{Phase: v1.PhaseReady}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING},
		{"of a newer server", v1.Sandbox{Status: v1.SandboxStatus{Phase: "Sleeping"}}, datamodelv1.SandboxPhase_SANDBOX_PHASE_UNKNOWN},
	} {
		if got := Phase(&tt.sandbox); got != tt.want {
			t.Errorf("%s: Phase() = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCommandStates(t *testing.T) {
	command := &v1.Command{Argv: []string{"a"}}
	for _, tt := range []struct {
		name   string
		spec   *v1.Command
		status *v1.CommandStatus
		want   *datamodelv1.CommandStatus
	}{
		{"no command", nil, nil, nil},
		{"not seen yet", command, nil, &datamodelv1.CommandStatus{State: datamodelv1.CommandState_COMMAND_STATE_WAITING}},
		{"waiting", command, &v1.CommandStatus{State: "waiting"}, &datamodelv1.CommandStatus{State: datamodelv1.CommandState_COMMAND_STATE_WAITING}},
		{"running", command, &v1.CommandStatus{State: "running", Runs: 1}, &datamodelv1.CommandStatus{State: datamodelv1.CommandState_COMMAND_STATE_RUNNING, Runs: 1}},
		{"interrupted", command, &v1.CommandStatus{State: "interrupted"}, &datamodelv1.CommandStatus{State: datamodelv1.CommandState_COMMAND_STATE_INTERRUPTED}},
		{"of a newer server", command, &v1.CommandStatus{State: "dreaming"}, &datamodelv1.CommandStatus{}},
	} {
		got := Sandbox(&v1.Sandbox{Spec: v1.SandboxSpec{Command: tt.spec}, Status: v1.SandboxStatus{Command: tt.status}}).GetStatus().GetCommand()
		if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestStoppedSandboxHasNoPod(t *testing.T) {
	got := Sandbox(&v1.Sandbox{Spec: v1.SandboxSpec{ID: "abc", Stopped: true}}).GetStatus()
	if !got.GetStopped() || got.GetAgentPod() != "" {
		t.Errorf("status = %v", got)
	}
}
