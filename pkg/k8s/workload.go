package k8s

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	statefulSet = "openshell"
	serverPod   = "openshell-0"

	// annotationSecrets on the pod template says which repaired Secrets its
	// pods were made with. Changing it is what rolls the pods.
	annotationSecrets = "openshell.ai/secrets-revision"
)

// Workload is the gateway server's StatefulSet.
type Workload struct {
	Ready           bool
	Reason          string // why it is not ready, one line
	SecretsRevision string // as set by RolloutRestart; "" if never
}

// Workload reads the gateway server's StatefulSet and, when it is not ready,
// its pod.
func (c *Cluster) Workload(ctx context.Context) (w Workload, found bool, err error) {
	set, err := c.client.AppsV1().StatefulSets(NamespaceServer).Get(ctx, statefulSet, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Workload{}, false, nil
	}
	if err != nil {
		return Workload{}, false, fmt.Errorf("statefulset %s/%s: %w", NamespaceServer, statefulSet, err)
	}
	w.SecretsRevision = set.Spec.Template.Annotations[annotationSecrets]
	if w.Reason = rolloutReason(set); w.Reason == "" {
		w.Ready = true
		return w, true, nil
	}
	pod, err := c.client.CoreV1().Pods(NamespaceServer).Get(ctx, serverPod, metav1.GetOptions{})
	switch {
	case err == nil:
		if reason := podReason(pod); reason != "" {
			w.Reason = reason
		}
	case !apierrors.IsNotFound(err):
		return Workload{}, false, fmt.Errorf("pod %s/%s: %w", NamespaceServer, serverPod, err)
	}
	return w, true, nil
}

// RolloutRestart replaces the pods of the gateway server's StatefulSet unless
// they carry the revision already or there is no StatefulSet. It does not wait
// for the new pods.
func (c *Cluster) RolloutRestart(ctx context.Context, revision string) (restarted bool, err error) {
	w, found, err := c.Workload(ctx)
	if err != nil || !found || w.SecretsRevision == revision {
		return false, err
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{annotationSecrets: revision},
	}}}})
	if err != nil {
		return false, fmt.Errorf("statefulset %s/%s: %w", NamespaceServer, statefulSet, err)
	}
	_, err = c.client.AppsV1().StatefulSets(NamespaceServer).Patch(ctx, statefulSet, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("statefulset %s/%s: %w", NamespaceServer, statefulSet, err)
	}
	return true, nil
}

// rolloutReason is why a StatefulSet's pods are not all new and ready; "" if
// they are.
func rolloutReason(set *appsv1.StatefulSet) string {
	want := int32(1)
	if set.Spec.Replicas != nil {
		want = *set.Spec.Replicas
	}
	status := set.Status
	switch {
	case status.ObservedGeneration < set.Generation:
		return "the controller has not seen the latest change yet"
	case status.UpdatedReplicas < want:
		return fmt.Sprintf("%d of %d pods are up to date", status.UpdatedReplicas, want)
	case status.ReadyReplicas < want:
		return fmt.Sprintf("%d of %d pods are ready", status.ReadyReplicas, want)
	}
	return ""
}

// podReason is what keeps a pod from being ready, as far as its status says.
func podReason(pod *corev1.Pod) string {
	statuses := append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...)
	for _, s := range statuses {
		for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if t != nil && t.ExitCode != 0 { // says more than the back-off that follows
				return describe("container "+s.Name, fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode), t.Message)
			}
		}
		if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" {
			return describe("container "+s.Name, w.Reason, w.Message)
		}
	}
	for _, cond := range pod.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			return describe("pod "+pod.Name, cond.Reason, cond.Message)
		}
	}
	return ""
}

func describe(what, reason, message string) string {
	if message == "" {
		return what + ": " + reason
	}
	return what + ": " + reason + ": " + message
}
