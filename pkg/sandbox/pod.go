package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	containerName = "sandbox"

	volumeBinary = "openshell-bin"
	volumeSecret = "openshell-secret"
	volumeClaim  = "workspace"

	gracePeriod = 10 // seconds that processes have to end
)

// Requests are small: sandboxes idle most of the time, and the limits hold.
const (
	requestCPU    = "10m"
	requestMemory = "32Mi"
	mostMemory    = 4 << 30 // bytes; the default limit, if the node has it
	memoryShare   = 80      // per cent of the node's that one sandbox may have by default
)

// makePod is the pod of a sandbox on a node of that capacity. It is never
// changed afterwards, but for an annotation.
func makePod(cfg Config, s *v1.Sandbox, node corev1.ResourceList) (*corev1.Pod, error) {
	env, err := environment(cfg, s)
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{ObjectMeta: meta(s)}
	pod.Spec = corev1.PodSpec{
		Hostname:                      hostname(s.Name),
		RestartPolicy:                 corev1.RestartPolicyAlways,
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(int64(gracePeriod)),
		Tolerations:                   tolerations(),
		// No user here: it would also be that of the pause process, whose
		// namespaces a node without CAP_SYS_PTRACE could then not join.
		SecurityContext: &corev1.PodSecurityContext{
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name:            containerName,
			Image:           s.Spec.Image,
			ImagePullPolicy: pullPolicy(s.Spec.Image),
			Command:         []string{sandboxapi.Binary},
			WorkingDir:      "/", // whatever the image says, it need not exist
			Env:             env,
			Ports:           []corev1.ContainerPort{{Name: "ssh", ContainerPort: sandboxapi.SSHPort, Protocol: corev1.ProtocolTCP}},
			Resources:       resources(cfg, s.Spec.Resources, node),
			SecurityContext: supervisorRights(),
			// The last lines of a supervisor that failed say why.
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			VolumeMounts: []corev1.VolumeMount{
				{Name: volumeBinary, MountPath: sandboxapi.BinaryDir, ReadOnly: true},
				{Name: volumeSecret, MountPath: sandboxapi.SecretDir, ReadOnly: true},
				{Name: volumeClaim, MountPath: sandboxapi.Workspace, SubPath: sandboxapi.ClaimWorkspace},
				{Name: volumeClaim, MountPath: sandboxapi.StateDir, SubPath: sandboxapi.ClaimState},
			},
		}},
		Volumes: []corev1.Volume{
			binaryVolume(cfg.Supervisor),
			{Name: volumeSecret, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: s.Spec.ID, DefaultMode: new(int32(0o400))},
			}},
			{Name: volumeClaim, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: s.Spec.ID},
			}},
		},
	}
	if cfg.Supervisor.Image != "" {
		pod.Spec.InitContainers = []corev1.Container{installer(cfg.Supervisor.Image)}
	}
	return pod, nil
}

// environment of the supervisor. None of it is secret.
func environment(cfg Config, s *v1.Sandbox) ([]corev1.EnvVar, error) {
	env := []corev1.EnvVar{
		{Name: sandboxapi.EnvID, Value: s.Spec.ID},
		{Name: sandboxapi.EnvName, Value: s.Name},
		{Name: sandboxapi.EnvEndpoint, Value: cfg.Endpoint},
		{Name: sandboxapi.EnvListen, Value: fmt.Sprintf(":%d", sandboxapi.SSHPort)},
	}
	if s.Spec.LogLevel != "" {
		env = append(env, corev1.EnvVar{Name: sandboxapi.EnvLogLevel, Value: s.Spec.LogLevel})
	}
	if cfg.HintAddress != "" {
		env = append(env, corev1.EnvVar{Name: sandboxapi.EnvHint, Value: cfg.HintAddress})
	}
	if c := s.Spec.Command; c != nil {
		command, err := json.Marshal(sandboxapi.Command{Argv: c.Argv, TTY: c.TTY, Stdin: c.Stdin, NoRestart: c.NoRestart, Hold: c.Hold})
		if err != nil {
			return nil, err
		}
		env = append(env, corev1.EnvVar{Name: sandboxapi.EnvCommand, Value: literal(string(command))})
	}
	return env, nil
}

// literal keeps the kubelet from replacing "$(NAME)" in a value.
func literal(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// supervisorRights are root's, of which it keeps what it needs to become the
// sandbox user. Nothing below it gains any.
func supervisorRights() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser:                new(int64(0)),
		RunAsGroup:               new(int64(0)),
		RunAsNonRoot:             new(false),
		Privileged:               new(false),
		AllowPrivilegeEscalation: new(false),
		Capabilities: &corev1.Capabilities{
			Drop: []corev1.Capability{"ALL"},
			Add:  []corev1.Capability{"CHOWN", "SETUID", "SETGID", "KILL"},
		},
	}
}

// installer copies the supervisor out of the server's image.
func installer(image string) corev1.Container {
	return corev1.Container{
		Name:    "install",
		Image:   image,
		Command: []string{"/openshell-sandbox", "install", sandboxapi.BinaryDir},
		Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser:                new(int64(0)),
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: volumeBinary, MountPath: sandboxapi.BinaryDir}},
	}
}

func binaryVolume(s Supervisor) corev1.Volume {
	v := corev1.Volume{Name: volumeBinary}
	if s.Image != "" {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	} else {
		v.HostPath = &corev1.HostPathVolumeSource{Path: s.HostPath, Type: new(corev1.HostPathDirectory)}
	}
	return v
}

// tolerations keep the pod where it is, for its files are nowhere else, and let
// it start before a node that comes up has reported for the first time.
func tolerations() []corev1.Toleration {
	return []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists},
	}
}

// pullPolicy never asks a registry for an image that the gateway holds.
func pullPolicy(image string) corev1.PullPolicy {
	if strings.HasPrefix(image, sandboxapi.ImagePrefix) {
		return corev1.PullNever
	}
	return corev1.PullIfNotPresent
}

// hostname is what the shell's prompt shows: the sandbox's name if it can be one.
func hostname(name string) string {
	if len(validation.IsDNS1123Label(name)) > 0 {
		return "" // the pod's
	}
	return name
}

// resources fills in the defaults. A request is never above its limit.
func resources(cfg Config, asked corev1.ResourceRequirements, node corev1.ResourceList) corev1.ResourceRequirements {
	r := *asked.DeepCopy()
	if r.Limits == nil {
		r.Limits = corev1.ResourceList{}
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	if _, ok := r.Limits[corev1.ResourceMemory]; !ok {
		limit := defaultMemory(cfg, node)
		if request := r.Requests[corev1.ResourceMemory]; request.Cmp(limit) > 0 {
			limit = request
		}
		r.Limits[corev1.ResourceMemory] = limit
	}
	for name, least := range map[corev1.ResourceName]string{corev1.ResourceCPU: requestCPU, corev1.ResourceMemory: requestMemory} {
		if _, ok := r.Requests[name]; ok {
			continue
		}
		request := resource.MustParse(least)
		if limit, ok := r.Limits[name]; ok && limit.Cmp(request) < 0 {
			request = limit
		}
		r.Requests[name] = request
	}
	return r
}

func defaultMemory(cfg Config, node corev1.ResourceList) resource.Quantity {
	if !cfg.Memory.IsZero() {
		return cfg.Memory
	}
	bytes := int64(mostMemory)
	if has, ok := node[corev1.ResourceMemory]; ok {
		bytes = min(bytes, has.Value()/100*memoryShare)
	}
	return *resource.NewQuantity(bytes, resource.BinarySI)
}
