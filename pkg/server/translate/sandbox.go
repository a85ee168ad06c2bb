package translate

import (
	"maps"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Sandbox is what clients get of one. Its environment, which the resource does
// not hold, is left out.
func Sandbox(s *v1.Sandbox) *datamodelv1.Sandbox {
	return &datamodelv1.Sandbox{
		Id:          s.Spec.ID,
		Name:        s.Name,
		Namespace:   s.Namespace,
		Spec:        specOf(&s.Spec),
		Status:      statusOf(s),
		Phase:       Phase(s),
		CreatedAtMs: s.CreationTimestamp.UnixMilli(),
	}
}

// Phase of a sandbox. One that the controller has not looked at yet is being
// provisioned.
func Phase(s *v1.Sandbox) datamodelv1.SandboxPhase {
	if s.DeletionTimestamp != nil {
		return datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING
	}
	switch s.Status.Phase {
	case "", v1.PhaseProvisioning:
		return datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING
	case v1.PhaseReady:
		return datamodelv1.SandboxPhase_SANDBOX_PHASE_READY
	case v1.PhaseError:
		return datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR
	case v1.PhaseDeleting:
		return datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING
	case v1.PhaseStopped:
		if !s.Spec.Stopped { // the controller has not seen it yet
			return datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING
		}
		return datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED
	}
	return datamodelv1.SandboxPhase_SANDBOX_PHASE_UNKNOWN
}

// WhyNotReady is what the controller says, in words for the user; empty when
// it says nothing.
func WhyNotReady(s *v1.Sandbox) string {
	for _, c := range s.Status.Conditions {
		if c.Type == v1.ConditionReady && c.Status != metav1.ConditionTrue {
			return c.Message
		}
	}
	return ""
}

// Fingerprint of a host key in the form of authorized_keys; empty for none.
func Fingerprint(hostKey string) string {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey))
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(key)
}

func specOf(s *v1.SandboxSpec) *datamodelv1.SandboxSpec {
	out := &datamodelv1.SandboxSpec{
		LogLevel:  s.LogLevel,
		Ephemeral: s.Ephemeral,
		Template: &datamodelv1.SandboxTemplate{
			Image: s.Image, Labels: maps.Clone(s.Labels), Annotations: maps.Clone(s.Annotations), Resources: resources(s.Resources),
		},
	}
	if c := s.Command; c != nil {
		out.Command, out.Tty, out.Stdin, out.Hold = c.Argv, c.TTY, c.Stdin, c.Hold
		out.CommandRestart = datamodelv1.CommandRestart_COMMAND_RESTART_ALWAYS
		if c.NoRestart {
			out.CommandRestart = datamodelv1.CommandRestart_COMMAND_RESTART_NO
		}
	}
	return out
}

// resources is the inverse of Resources; nil when nothing was asked for.
func resources(r corev1.ResourceRequirements) *structpb.Struct {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, list := range map[string]corev1.ResourceList{"limits": r.Limits, "requests": r.Requests} {
		if len(list) == 0 {
			continue
		}
		fields := map[string]*structpb.Value{}
		for key, q := range list {
			fields[string(key)] = structpb.NewStringValue(q.String())
		}
		out.Fields[name] = structpb.NewStructValue(&structpb.Struct{Fields: fields})
	}
	if len(out.Fields) == 0 {
		return nil
	}
	return out
}

func statusOf(s *v1.Sandbox) *datamodelv1.SandboxStatus {
	out := &datamodelv1.SandboxStatus{
		SandboxName:           s.Name,
		SshHostKey:            s.Status.HostKey,
		SshHostKeyFingerprint: Fingerprint(s.Status.HostKey),
		Stopped:               s.Spec.Stopped,
		Command:               commandStatus(s),
	}
	if !s.Spec.Stopped {
		out.AgentPod = s.Spec.ID
	}
	for _, c := range s.Status.Conditions {
		out.Conditions = append(out.Conditions, &datamodelv1.SandboxCondition{
			Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message,
			LastTransitionTime: c.LastTransitionTime.UTC().Format(time.RFC3339),
		})
	}
	return out
}

// commandStatus of a command that nobody has seen yet is that it waits.
func commandStatus(s *v1.Sandbox) *datamodelv1.CommandStatus {
	c := s.Status.Command
	if c == nil && s.Spec.Command == nil {
		return nil
	}
	if c == nil {
		return &datamodelv1.CommandStatus{State: datamodelv1.CommandState_COMMAND_STATE_WAITING}
	}
	return &datamodelv1.CommandStatus{
		State:       commandState(c.State),
		ExitCode:    c.ExitCode,
		StartedAtMs: millis(c.StartedAt),
		EndedAtMs:   millis(c.EndedAt),
		Runs:        uint32(max(c.Runs, 0)),
		Message:     c.Message,
	}
}

func commandState(state string) datamodelv1.CommandState {
	switch sandboxapi.CommandState(state) {
	case sandboxapi.CommandWaiting:
		return datamodelv1.CommandState_COMMAND_STATE_WAITING
	case sandboxapi.CommandRunning:
		return datamodelv1.CommandState_COMMAND_STATE_RUNNING
	case sandboxapi.CommandExited:
		return datamodelv1.CommandState_COMMAND_STATE_EXITED
	case sandboxapi.CommandInterrupted:
		return datamodelv1.CommandState_COMMAND_STATE_INTERRUPTED
	}
	return datamodelv1.CommandState_COMMAND_STATE_UNSPECIFIED
}

func millis(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}
