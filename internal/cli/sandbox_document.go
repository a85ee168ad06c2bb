package cli

import (
	"fmt"
	"strings"
	"time"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// conditionReady is the condition that says why a sandbox is not ready.
const conditionReady = "Ready"

// sandboxDocument is a sandbox in -o json. Fields are only added.
type sandboxDocument struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	Gateway     string            `json:"gateway"`
	Status      string            `json:"status"` // provisioning, ready, error, deleting, stopped, unknown
	Reason      string            `json:"reason,omitempty"`
	Message     string            `json:"message,omitempty"` // why it is not ready
	Image       string            `json:"image"`             // as the user named it, or default
	CreatedAt   time.Time         `json:"createdAt"`
	Ephemeral   bool              `json:"ephemeral"`
	Command     *commandDocument  `json:"command,omitempty"`
	Resources   map[string]any    `json:"resources,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Fingerprint string            `json:"hostKeyFingerprint,omitempty"`
	Exposed     []exposedDocument `json:"exposed,omitempty"` // of "sandbox get" alone
}

type commandDocument struct {
	Argv      []string   `json:"argv"`
	State     string     `json:"state"` // waiting, running, exited, interrupted
	ExitCode  *int32     `json:"exitCode,omitempty"`
	Runs      uint32     `json:"runs"`
	StartedAt *time.Time `json:"startedAt,omitempty"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
	Message   string     `json:"message,omitempty"` // why it could not be run
	Restart   string     `json:"restart"`           // always, no
}

func (v *sandboxVerb) document(s *datamodelv1.Sandbox) sandboxDocument {
	d := sandboxDocument{
		Name: s.GetName(), ID: s.GetId(), Gateway: string(v.on), Status: phaseWord(s), Image: imageName(s),
		CreatedAt: time.UnixMilli(s.GetCreatedAtMs()).UTC(), Ephemeral: s.GetSpec().GetEphemeral(),
		Resources: s.GetSpec().GetTemplate().GetResources().AsMap(), Labels: s.GetSpec().GetTemplate().GetLabels(),
		Fingerprint: s.GetStatus().GetSshHostKeyFingerprint(),
	}
	d.Reason, d.Message = whyNotReady(s)
	if argv := s.GetSpec().GetCommand(); len(argv) > 0 {
		c := s.GetStatus().GetCommand()
		d.Command = &commandDocument{Argv: argv, State: commandState(s), Runs: c.GetRuns(), Message: c.GetMessage(), Restart: restartAlways}
		if s.GetSpec().GetCommandRestart() == datamodelv1.CommandRestart_COMMAND_RESTART_NO {
			d.Command.Restart = restartNo
		}
		if c.GetState() == datamodelv1.CommandState_COMMAND_STATE_EXITED {
			code := c.GetExitCode()
			d.Command.ExitCode = &code
		}
		d.Command.StartedAt, d.Command.EndedAt = moment(c.GetStartedAtMs()), moment(c.GetEndedAtMs())
	}
	return d
}

// moment is a time in Unix milliseconds; 0 is none.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}

// phaseWord is the state of a sandbox in one word.
func phaseWord(s *datamodelv1.Sandbox) string {
	switch s.GetPhase() {
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING:
		return "provisioning"
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_READY:
		return "ready"
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR:
		return "error"
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING:
		return "deleting"
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED:
		return "stopped"
	}
	return "unknown"
}

// commandState is how the command of a sandbox fares, in one word.
func commandState(s *datamodelv1.Sandbox) string {
	switch s.GetStatus().GetCommand().GetState() {
	case datamodelv1.CommandState_COMMAND_STATE_RUNNING:
		return "running"
	case datamodelv1.CommandState_COMMAND_STATE_EXITED:
		return "exited"
	case datamodelv1.CommandState_COMMAND_STATE_INTERRUPTED:
		return "interrupted"
	}
	return "waiting"
}

// whyNotReady is what the gateway says about a sandbox that is not ready.
func whyNotReady(s *datamodelv1.Sandbox) (reason, message string) {
	if s.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_READY {
		return "", ""
	}
	for _, condition := range s.GetStatus().GetConditions() {
		if condition.GetType() == conditionReady && condition.GetStatus() != "True" {
			return condition.GetReason(), condition.GetMessage()
		}
	}
	return "", ""
}

// imageName is the image of a sandbox as the user named it; "default" is the
// gateway's own.
func imageName(s *datamodelv1.Sandbox) string {
	template := s.GetSpec().GetTemplate()
	if name := template.GetAnnotations()[sandboxapi.AnnotationImage]; name != "" {
		return name
	}
	if ref := template.GetImage(); ref != "" && (!strings.HasPrefix(ref, sandboxapi.ImagePrefix) || strings.HasPrefix(ref, sandboxapi.LocalImage)) {
		return ref
	}
	return "default"
}

// commandText is a command as people type it; "" for none.
func commandText(argv []string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = shellQuote(arg)
	}
	return strings.Join(words, " ")
}

// shellQuote is a word as a shell reads it back.
func shellQuote(word string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%_+=:,./-", r)
	}
	if word != "" && strings.TrimFunc(word, safe) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// age is how long ago something was, in its largest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
