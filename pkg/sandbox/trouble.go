package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// patience with what may heal by itself, from the pod's creation on: it finds no
// place while the node or its claim is only coming up, and a registry may have a
// bad moment.
const patience = 15 * time.Second

// A supervisor that ended so often, the last time so soon after its start, keeps
// doing so. Restarts of the gateway are among the first number.
const (
	fewRestarts = 2
	shortRun    = 10 * time.Second
)

const startingMessage = "the pod is starting"

// maxMessage is how much of somebody else's message a condition shows.
const maxMessage = 300

// trouble is why the supervisor of a pod does not answer, and when that has to
// be judged anew though nothing changed; 0: never.
func trouble(pod *corev1.Pod, now time.Time) (problem, time.Duration) {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		reason, message := reasonRestarting, "the pod ended and is made anew"
		if pod.Status.Reason != "" {
			message = fmt.Sprintf("the pod ended (%s) and is made anew", pod.Status.Reason)
		}
		return problem{reason: reason, message: message}, again
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return unscheduled(c, pod, now)
		}
	}
	for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		if p, ok := containerTrouble(c, pod); ok {
			return p.unlessSoon(p.reason == "ErrImagePull" || p.reason == "ImagePullBackOff", pod, now)
		}
	}
	if pod.Status.PodIP != "" {
		return problem{reason: reasonConnecting, message: "the supervisor does not answer yet"}, 0
	}
	return problem{reason: reasonProvisioning, message: startingMessage}, 0
}

func unscheduled(c corev1.PodCondition, pod *corev1.Pod, now time.Time) (problem, time.Duration) {
	if strings.Contains(c.Message, "untolerated taint") {
		// The node is coming up: it takes sandboxes once their images are there,
		// which on a slow disk is after any patience.
		return problem{reason: reasonProvisioning, message: "the node takes no sandboxes yet"}, 0
	}
	p := problem{reason: reasonUnschedulable}
	switch {
	case strings.Contains(c.Message, "Insufficient memory"):
		p.message = "the node has too little memory left for the sandbox"
	case strings.Contains(c.Message, "Insufficient cpu"):
		p.message = "the node has too little cpu left for the sandbox"
	case strings.Contains(c.Message, "Too many pods"):
		p.message = "the node has as many pods as it can hold"
	default:
		p.message = "no node takes the sandbox: " + oneLine(c.Message)
	}
	lasting, left := p.unlessSoon(true, pod, now)
	if !lasting.lasting && strings.Contains(c.Message, "PersistentVolumeClaim") {
		// Every new pod is a moment ahead of its claim.
		return problem{reason: reasonProvisioning, message: startingMessage}, left
	}
	return lasting, left
}

// unlessSoon makes a problem that may heal by itself a lasting one when the pod
// has had its time, and says when that will be.
func (p problem) unlessSoon(mayHeal bool, pod *corev1.Pod, now time.Time) (problem, time.Duration) {
	if !mayHeal {
		return p, 0
	}
	if left := pod.CreationTimestamp.Add(patience).Sub(now); left > 0 {
		return p, left
	}
	p.lasting = true
	return p, 0
}

// containerTrouble reads what the kubelet says of a container that does not run.
func containerTrouble(c corev1.ContainerStatus, pod *corev1.Pod) (problem, bool) {
	last := c.LastTerminationState.Terminated
	if ended := c.State.Terminated; ended != nil && ended.ExitCode != 0 {
		last = ended
	}
	if w := c.State.Waiting; w != nil {
		p := problem{reason: w.Reason, lasting: true}
		switch w.Reason {
		case "ErrImageNeverPull":
			p.message = fmt.Sprintf("the gateway does not have the image %s", c.Image)
		case "InvalidImageName":
			p.message = fmt.Sprintf("%q is no name of an image", c.Image)
		case "ErrImagePull", "ImagePullBackOff": // in turns
			p.message, p.lasting = pullMessage(c.Image, w.Message), false
		case "ImageInspectError", "RegistryUnavailable":
			p.message = pullMessage(c.Image, w.Message)
		case "CreateContainerError", "CreateContainerConfigError", "RunContainerError":
			p.message = "the container cannot be started: " + startMessage(w.Message)
		case reasonCrashes:
			if last != nil && last.Reason == reasonOOMKilled {
				return outOfMemory(c, pod), true
			}
			p.message = crashMessage(last)
		default: // ContainerCreating, PodInitializing
			return problem{}, false
		}
		return p, true
	}
	if last == nil || endedWithNode(last) {
		return problem{}, false
	}
	if last.Reason == reasonOOMKilled {
		return outOfMemory(c, pod), true
	}
	if last.Reason == "StartError" || strings.Contains(last.Message, "exec format error") {
		return problem{reason: last.Reason, lasting: true, message: "the container cannot be started: " + startMessage(last.Message)}, true
	}
	p := problem{reason: reasonRestarting, message: crashMessage(last)}
	if c.RestartCount >= fewRestarts && last.FinishedAt.Sub(last.StartedAt.Time) < shortRun {
		p.reason, p.lasting = reasonCrashes, true
	}
	return p, true
}

// endedWithNode tells a container that was told to end, or whose end nobody saw:
// so they all end when the gateway is stopped or loses its container.
func endedWithNode(last *corev1.ContainerStateTerminated) bool {
	return last.ExitCode == 0 || last.Reason == "Unknown" || last.Reason == "ContainerStatusUnknown"
}

func outOfMemory(c corev1.ContainerStatus, pod *corev1.Pod) problem {
	limit := "its limit"
	for _, spec := range pod.Spec.Containers {
		if m, ok := spec.Resources.Limits[corev1.ResourceMemory]; ok && spec.Name == c.Name {
			limit = "its " + readable(m)
		}
	}
	return problem{reason: reasonOOMKilled, message: fmt.Sprintf("the sandbox used more memory than %s and is started again", limit)}
}

func pullMessage(image, detail string) string {
	if _, cause, ok := strings.Cut(detail, ": ErrImagePull: "); ok {
		detail = cause // without that it is being tried again
	}
	return fmt.Sprintf("the image %s cannot be pulled: %s", image, oneLine(detail))
}

// startMessage puts a runtime's error into fewer words.
func startMessage(detail string) string {
	switch {
	case strings.Contains(detail, "exec format error"), strings.Contains(detail, "no match for platform"):
		return "its image is for another architecture"
	case strings.Contains(detail, "no such file or directory"), strings.Contains(detail, "executable file not found"):
		return "a file is missing: " + oneLine(lastPart(detail))
	}
	return oneLine(detail)
}

// lastPart leaves out the wrapping, which names every layer of the runtime.
func lastPart(detail string) string {
	parts := strings.Split(detail, ": ")
	if len(parts) > 3 {
		parts = parts[len(parts)-3:]
	}
	return strings.Join(parts, ": ")
}

func crashMessage(last *corev1.ContainerStateTerminated) string {
	if last == nil {
		return "the supervisor keeps ending"
	}
	if line := lastLogLine(last.Message); line != "" {
		return fmt.Sprintf("the supervisor ended with exit code %d: %s", last.ExitCode, line)
	}
	return fmt.Sprintf("the supervisor ended with exit code %d", last.ExitCode)
}

// lastLogLine is the last line that says something; of a line in JSON, its
// message and error.
func lastLogLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	var record struct{ Msg, Error string }
	if json.Unmarshal([]byte(line), &record) == nil && record.Msg != "" {
		line = record.Msg
		if record.Error != "" {
			line += ": " + record.Error
		}
	}
	return oneLine(line)
}

// oneLine makes text of another program fit for a condition.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > maxMessage {
		text = string(r[:maxMessage]) + "…"
	}
	return text
}
