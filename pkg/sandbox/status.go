package sandbox

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// observation is what a sandbox's status follows from.
type observation struct {
	pod     *corev1.Pod // nil: there is none
	word    word
	problem problem // of making its objects; zero: none
	now     time.Time
}

// word is what the connection to a supervisor says.
type word struct {
	connected bool
	status    *sandboxapi.Status // the last that came; nil: none yet
}

// observe puts an observation into the sandbox's status and says after which
// time it may be another without anything having changed; 0: never.
func observe(s *v1.Sandbox, o observation) time.Duration {
	if o.word.status != nil && o.word.status.Command != nil {
		s.Status.Command = commandStatus(*o.word.status.Command)
	}
	if c := s.Status.Command; c != nil && c.State == string(sandboxapi.CommandRunning) && s.Spec.Stopped && o.pod == nil {
		// It was killed before it could say so.
		c.State, c.Message = string(sandboxapi.CommandInterrupted), "the sandbox stopped while the command ran"
	}
	phase, why, after := judge(s, o)
	s.Status.Phase = phase
	condition := metav1.Condition{
		Type: v1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: s.Generation,
		Reason: why.reason, Message: why.message, LastTransitionTime: metav1.NewTime(o.now),
	}
	if phase == v1.PhaseReady {
		condition.Status = metav1.ConditionTrue
	}
	apimeta.SetStatusCondition(&s.Status.Conditions, condition)
	return after
}

func judge(s *v1.Sandbox, o observation) (v1.Phase, problem, time.Duration) {
	switch {
	case s.DeletionTimestamp != nil:
		return v1.PhaseDeleting, problem{reason: reasonDeleting, message: "the sandbox is being deleted"}, 0
	case s.Spec.Stopped && o.pod == nil: // whatever it would lack if it were started
		return v1.PhaseStopped, problem{reason: reasonStopped, message: "the sandbox is stopped"}, 0
	case s.Spec.Stopped:
		return v1.PhaseProvisioning, problem{reason: reasonStopping, message: "the sandbox is being stopped"}, 0
	case o.problem.reason != "":
		return v1.PhaseError, o.problem, 0
	case o.pod == nil:
		return v1.PhaseProvisioning, problem{reason: reasonProvisioning, message: startingMessage}, 0
	case o.pod.DeletionTimestamp != nil:
		return v1.PhaseProvisioning, problem{reason: reasonRestarting, message: "the sandbox's former pod is ending"}, 0
	case o.word.connected:
		return v1.PhaseReady, problem{reason: reasonReady, message: "the supervisor answers"}, 0
	}
	why, after := trouble(o.pod, o.now)
	if why.lasting {
		return v1.PhaseError, why, after
	}
	return v1.PhaseProvisioning, why, after
}

func commandStatus(c sandboxapi.CommandStatus) *v1.CommandStatus {
	return &v1.CommandStatus{
		State:     string(c.State),
		ExitCode:  int32(c.ExitCode), // 0 to 255
		StartedAt: apiTime(c.StartedAt),
		EndedAt:   apiTime(c.EndedAt),
		Runs:      int32(c.Runs),
		Message:   c.Message,
	}
}

// apiTime is in whole seconds, as the API keeps it: else every comparison with
// what was written would find a change.
func apiTime(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewTime(t.Truncate(time.Second)))
}
