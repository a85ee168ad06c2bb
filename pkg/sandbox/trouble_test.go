package sandbox

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: containerName, Image: "img:1",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}
}

func ended(c corev1.ContainerStatus, reason string, code int32, log string) corev1.ContainerStatus {
	c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Message: log}
	return c
}

func TestTroubleOfAPod(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	unschedulable := func(message string, age time.Duration) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-age))},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message}}},
		}
	}
	with := func(c corev1.ContainerStatus) corev1.Pod {
		return corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}}}
	}
	limited := with(ended(waiting("CrashLoopBackOff", "back-off"), "OOMKilled", 137, ""))
	limited.Spec.Containers = []corev1.Container{{Name: containerName, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}}}}
	pulling := func(since time.Time, reason string) corev1.Pod {
		pod := with(waiting(reason, "Back-off: ErrImagePull: no such\n host"))
		pod.CreationTimestamp = metav1.NewTime(since)
		return pod
	}
	running := func(c corev1.ContainerStatus, restarts int32) corev1.ContainerStatus {
		c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		c.Ready, c.RestartCount = true, restarts // it has no probe
		return c
	}
	longRun := func(c corev1.ContainerStatus) corev1.ContainerStatus {
		c.LastTerminationState.Terminated.StartedAt = metav1.NewTime(now.Add(-time.Hour))
		c.LastTerminationState.Terminated.FinishedAt = metav1.NewTime(now)
		return c
	}
	for _, tt := range []struct {
		name    string
		pod     corev1.Pod
		phase   v1.Phase
		reason  string
		message string // part of it
		later   bool   // judged again by itself
	}{
		{"new", corev1.Pod{}, v1.PhaseProvisioning, reasonProvisioning, "starting", false},
		{"creating", with(waiting("ContainerCreating", "")), v1.PhaseProvisioning, reasonProvisioning, "starting", false},
		{"has an address", corev1.Pod{Status: corev1.PodStatus{PodIP: "10.0.0.1"}}, v1.PhaseProvisioning, reasonConnecting, "does not answer yet", false},
		{"local image missing", with(waiting("ErrImageNeverPull", "x")), v1.PhaseError, "ErrImageNeverPull", "does not have the image img:1", false},
		{"first pull failed", pulling(now.Add(-time.Second), "ErrImagePull"), v1.PhaseProvisioning, "ErrImagePull", "img:1 cannot be pulled: no such host", true},
		{"another pull failed", pulling(now.Add(-time.Minute), "ErrImagePull"), v1.PhaseError, "ErrImagePull", "img:1 cannot be pulled: no such host", false},
		{"pull backs off", pulling(now.Add(-time.Second), "ImagePullBackOff"), v1.PhaseProvisioning, "ImagePullBackOff", "img:1 cannot be pulled: no such host", true},
		{"pull backs off for long", pulling(now.Add(-time.Minute), "ImagePullBackOff"), v1.PhaseError, "ImagePullBackOff", "img:1 cannot be pulled: no such host", false},
		{"bad name", with(waiting("InvalidImageName", "")), v1.PhaseError, "InvalidImageName", `"img:1" is no name`, false},
		{"other architecture", with(waiting("CreateContainerError", "failed to create: a: b: exec format error")), v1.PhaseError, "CreateContainerError", "another architecture", false},
		{"no such file", with(waiting("RunContainerError", "a: b: c: exec: /opt/x: no such file or directory")), v1.PhaseError, "RunContainerError", "a file is missing: exec: /opt/x: no such file or directory", false},
		{"crash loop", with(ended(waiting("CrashLoopBackOff", "back-off"), "Error", 3, "starting\nno host key\n")), v1.PhaseError, "CrashLoopBackOff", "exit code 3: no host key", false},
		{"crash loop in JSON", with(ended(waiting("CrashLoopBackOff", ""), "Error", 1, `{"level":"ERROR","msg":"supervisor ended","error":"host key: bad"}`)), v1.PhaseError, "CrashLoopBackOff", "exit code 1: supervisor ended: host key: bad", false},
		{"ended once, runs again", with(running(ended(waiting("", ""), "Error", 3, "no key"), 1)), v1.PhaseProvisioning, reasonRestarting, "exit code 3: no key", false},
		{"ended often, runs again", with(running(ended(waiting("", ""), "Error", 3, "no key"), 2)), v1.PhaseError, "CrashLoopBackOff", "exit code 3: no key", false},
		{"ended often, but not soon", with(running(longRun(ended(waiting("", ""), "Error", 137, "")), 9)), v1.PhaseProvisioning, reasonRestarting, "exit code 137", false},
		{"ended with its gateway", with(running(ended(waiting("", ""), "Completed", 0, ""), 9)), v1.PhaseProvisioning, reasonProvisioning, "starting", false},
		{"lost with its gateway", with(running(ended(waiting("", ""), "Unknown", 255, ""), 9)), v1.PhaseProvisioning, reasonProvisioning, "starting", false},
		{"out of memory, backing off", limited, v1.PhaseProvisioning, "OOMKilled", "more memory than its 64Mi", false},
		{"out of memory, running again", with(running(ended(waiting("", ""), "OOMKilled", 137, ""), 5)), v1.PhaseProvisioning, "OOMKilled", "started again", false},
		{"no memory left", unschedulable("0/1 nodes are available: 1 Insufficient memory.", time.Second), v1.PhaseProvisioning, "Unschedulable", "too little memory", true},
		{"no memory left for long", unschedulable("0/1 nodes are available: 1 Insufficient memory.", time.Minute), v1.PhaseError, "Unschedulable", "too little memory", false},
		{"claim not bound yet", unschedulable("pod has unbound immediate PersistentVolumeClaims", time.Second), v1.PhaseProvisioning, reasonProvisioning, "starting", true},
		{"images being imported for long", unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate", time.Hour), v1.PhaseProvisioning, reasonProvisioning, "no sandboxes yet", false},
		{"claim never bound", unschedulable("pod has unbound immediate PersistentVolumeClaims", time.Minute), v1.PhaseError, "Unschedulable", "no node takes the sandbox: pod has unbound", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testSandbox()
			after := observe(s, observation{pod: &tt.pod, now: now})
			c := s.Status.Conditions[0]
			if s.Status.Phase != tt.phase || c.Reason != tt.reason || !strings.Contains(c.Message, tt.message) || c.Status != metav1.ConditionFalse {
				t.Errorf("%s: %+v\nwant %s %s with %q", s.Status.Phase, c, tt.phase, tt.reason, tt.message)
			}
			if (after > 0) != tt.later {
				t.Errorf("judged again after %s", after)
			}
		})
	}
}

// Whatever the kubelet last reported, an answering supervisor is ready.
func TestConnectionDecides(t *testing.T) {
	s := testSandbox()
	pod := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", "")}}}
	observe(s, observation{pod: &pod, word: word{connected: true}})
	if s.Status.Phase != v1.PhaseReady || s.Status.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("status = %+v", s.Status)
	}
	s.Spec.Stopped = true
	observe(s, observation{pod: &pod, word: word{connected: true}})
	if s.Status.Phase == v1.PhaseReady {
		t.Error("a sandbox that is being stopped is ready")
	}
}

func FuzzTroubleIsOneShortLine(f *testing.F) {
	f.Add("CrashLoopBackOff", "a\nb", `{"msg":"x"}`)
	f.Add("CreateContainerError", ": : : no such file or directory", "")
	f.Fuzz(func(t *testing.T, reason, message, log string) {
		pod := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{ended(waiting(reason, message), "Error", 1, log)}}}
		p, _ := trouble(&pod, time.Time{})
		if strings.ContainsAny(p.message, "\r\n") || utf8.RuneCountInString(p.message) > 2*maxMessage {
			t.Errorf("message %q", p.message)
		}
	})
}
