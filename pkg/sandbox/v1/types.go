package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sandbox is a place for a user's processes: a pod, the claim of its workspace
// and its Secret, all named by Spec.ID. Its own name is the one that the user
// gave, which makes it unique.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.spec.id`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Sandbox struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   SandboxSpec   `json:"spec"`
	Status SandboxStatus `json:"status,omitempty"`
}

// SandboxList is a list of sandboxes.
//
// +kubebuilder:object:root=true
type SandboxList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Sandbox `json:"items"`
}

// SandboxSpec is what the user asked for. Only Stopped may change.
type SandboxSpec struct {
	// ID names the objects of the sandbox, and the key it is reached with is
	// derived from it.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the id never changes"
	ID string `json:"id"`

	// Image of the pod, resolved when the sandbox was created.
	// +kubebuilder:validation:MinLength=1
	Image string `json:"image"`

	// Command runs once the sandbox is up.
	Command *Command `json:"command,omitempty"`

	// Resources of the pod's container; what is not given has defaults.
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// Labels and annotations that a client put on the template, for its own use.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// LogLevel of the supervisor: debug, info, warn or error.
	LogLevel string `json:"logLevel,omitempty"`

	// Ephemeral sandboxes are deleted when their command has ended.
	Ephemeral bool `json:"ephemeral,omitempty"`

	// Stopped sandboxes keep their claim and have no pod.
	Stopped bool `json:"stopped,omitempty"`
}

// Command is what a sandbox runs.
type Command struct {
	// +kubebuilder:validation:MinItems=1
	Argv []string `json:"argv"`
	// TTY gives the command a terminal.
	TTY bool `json:"tty,omitempty"`
	// Stdin lets it read what attached clients send.
	Stdin bool `json:"stdin,omitempty"`
	// NoRestart leaves it interrupted by a restart of the gateway.
	NoRestart bool `json:"noRestart,omitempty"`
	// Hold makes it wait for a client to start it.
	Hold bool `json:"hold,omitempty"`
}

// Phase is where a sandbox is in its life.
// +kubebuilder:validation:Enum=Provisioning;Ready;Error;Deleting;Stopped
type Phase string

// The phases.
const (
	PhaseProvisioning Phase = "Provisioning"
	PhaseReady        Phase = "Ready" // its supervisor answers
	PhaseError        Phase = "Error" // see the condition Ready for why
	PhaseDeleting     Phase = "Deleting"
	PhaseStopped      Phase = "Stopped"
)

// ConditionReady is true when the supervisor answers; else its reason and
// message say why not.
const ConditionReady = "Ready"

// SandboxStatus is what the controller observed.
type SandboxStatus struct {
	Phase Phase `json:"phase,omitempty"`
	// HostKey is the public SSH host key: "ssh-ed25519 AAAA...".
	HostKey string `json:"hostKey,omitempty"`
	// Claim is the UID of the claim of the workspace, once it was made: no other
	// takes its place.
	Claim types.UID `json:"claim,omitempty"`
	// Command fares so, by the supervisor's last word.
	Command    *CommandStatus     `json:"command,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// CommandStatus is how the command fares; see package sandboxapi.
type CommandStatus struct {
	State     string       `json:"state"` // waiting, running, exited or interrupted
	ExitCode  int32        `json:"exitCode"`
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	EndedAt   *metav1.Time `json:"endedAt,omitempty"`
	Runs      int32        `json:"runs,omitempty"`
	Message   string       `json:"message,omitempty"`
}
