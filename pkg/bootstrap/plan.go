package bootstrap

import (
	"fmt"
	"strings"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
)

// Op names a step. It is what events, plans and results show.
type Op string

// The steps, roughly in the order in which plans have them.
const (
	WaitRemoval      Op = "wait for removal"
	RemoveHelper     Op = "remove leftover"
	LoadImage        Op = "load image"
	PullImage        Op = "pull image"
	StopContainer    Op = "stop container"
	WriteSettings    Op = "write settings"
	RemoveContainer  Op = "remove container"
	RemoveGuests     Op = "remove user containers"
	RemoveVolume     Op = "remove volume"
	ClearVolume      Op = "clear volume" // asides stay
	RemoveNetwork    Op = "remove network"
	CreateNetwork    Op = "create network"
	CreateVolume     Op = "create volume"
	CreateContainer  Op = "create container"
	SetRestartPolicy Op = "set restart policy"
	UnpauseContainer Op = "unpause container"
	StartContainer   Op = "start container"
	ReconcileSecrets Op = "reconcile secrets"
	WriteHostFiles   Op = "write host files"
	AwaitHealthy     Op = "wait until healthy"
	MarkInitialized  Op = "mark initialized"
	WriteMetadata    Op = "write metadata"
	SelectGateway    Op = "select gateway"
	RestoreEdge      Op = "restore edge"
	ResetEdge        Op = "reset edge"
	ReloadEdge       Op = "reload edge"
	RemoveHostFiles  Op = "remove host files"
)

// Action is what a start amounts to.
type Action string

// The actions.
const (
	ActionFresh    Action = "fresh"
	ActionRecreate Action = "recreate" // destroy, then fresh
	ActionResume   Action = "resume"   // the container has to be started
	ActionVerify   Action = "verify"   // the container runs
	ActionPrepare  Action = "prepare"  // make it possible to observe again
	ActionStop     Action = "stop"
	ActionDestroy  Action = "destroy"
)

// Step is one step of a plan.
type Step struct {
	Op    Op
	Cause string
	// Alongside steps run in a chain of their own, beside the next step that
	// is not alongside; both must end before what follows begins.
	Alongside bool
}

// Plan is what to do. Decide makes it, Execute follows it.
type Plan struct {
	Name     gateway.Name
	Was      Word
	Action   Action
	Settings gateway.Settings // what the gateway will have; the zero value when preparing
	Archive  string           // for LoadImage
	Steps    []Step
	Notes    []string // to be said once
	Warnings []string
	Again    bool // afterwards, observe and decide once more

	before    gateway.Settings // of a resume: what the gateway has had so far
	chosePort bool             // the port for nginx was not asked for
	session   *Session         // with the Kubernetes API of a gateway that is healthy already

	container string             // id of the container that is there; empty: none
	restarts  int                // of it, so far
	up        bool               // it runs
	guests    []docker.Container // to remove
}

func (p *Plan) add(op Op, cause string, args ...any) {
	p.Steps = append(p.Steps, Step{Op: op, Cause: fmt.Sprintf(cause, args...)})
}

func (p *Plan) alongside(op Op, cause string) {
	p.Steps = append(p.Steps, Step{Op: op, Cause: cause, Alongside: true})
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// has reports whether op is a step of the plan.
func (p Plan) has(op Op) bool {
	for _, s := range p.Steps {
		if s.Op == op {
			return true
		}
	}
	return false
}

// Lines are the plan's steps for a result document.
func (p Plan) Lines() []PlannedStep {
	out := make([]PlannedStep, 0, len(p.Steps)+1)
	for _, s := range p.Steps {
		out = append(out, PlannedStep{Step: string(s.Op), Cause: s.Cause})
	}
	if p.Again {
		out = append(out, PlannedStep{Step: "observe again", Cause: "the plan depends on the steps before"})
	}
	return out
}

// String is the plan as text, a line for every step.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gateway %s is %s: %s\n", p.Name, p.Was, p.Action)
	for _, line := range p.Lines() {
		fmt.Fprintf(&b, "- %s: %s\n", line.Step, line.Cause)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}
