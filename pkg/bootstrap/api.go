// Package bootstrap brings a gateway to the state the user asked for, in three
// parts: Observe (one snapshot), Decide (pure, an ordered list of steps with
// their causes) and Execute (no decisions). It never prints: it sends events.
package bootstrap

import (
	"context"
	"io"
	"slices"
	"time"

	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Word is the state of a gateway in one word.
type Word string

// The words of the gateway contract.
const (
	Absent       Word = "absent"
	Suspended    Word = "suspended"
	Unborn       Word = "unborn"
	Stopped      Word = "stopped"
	Broken       Word = "broken"
	Running      Word = "running"
	Starting     Word = "starting"
	DegradedWord Word = "degraded"
	CrashLooping Word = "crashlooping"
	Paused       Word = "paused"
	Removing     Word = "removing"
	Foreign      Word = "foreign"
	Unknown      Word = "unknown"
)

// StartOptions are the flags of `gateway start`. A nil pointer is a flag that
// was not given and keeps what the gateway has.
type StartOptions struct {
	Name          gateway.Name
	Recreate      bool
	DryRun        bool
	KeepOnFailure bool
	Image         string        // node image reference for a fresh start
	ImageArchive  string        // path of a docker-save archive with the node image
	Timeout       time.Duration // 0: none
	IdleTimeout   time.Duration // 0: the default, scaled on slow hosts

	Port         *int
	Bind         *string
	GatewayHosts *[]string
	HTTPPort     *int
	HTTPTLS      *bool
	VPNPort      *int
	CPUs         *float64
	Memory       *int64

	avoid  avoidance
	beside bool // begin a new gateway beside states that were set aside
}

// StartResult is what a start did.
type StartResult struct {
	Name      gateway.Name  `json:"name"`
	Word      Word          `json:"status"`   // after the start
	Was       Word          `json:"was"`      // before it
	Action    string        `json:"action"`   // fresh, resume, none, repair, recreate
	Endpoint  string        `json:"endpoint"` // https://127.0.0.1:8080
	HTTPPort  int           `json:"httpPort,omitempty"`
	VPNPort   int           `json:"vpnPort,omitempty"`
	Changed   []string      `json:"changed"` // steps that changed something, in order
	Elapsed   time.Duration `json:"-"`
	ElapsedMS int64         `json:"elapsedMs"`
	Warnings  []string      `json:"warnings,omitempty"`
	Plan      []PlannedStep `json:"plan,omitempty"`  // with DryRun
	Notes     []string      `json:"notes,omitempty"` // with DryRun: what a start would say once

	unreadable bool // of a failure: the node cannot read a state that once was healthy
}

// PlannedStep is one line of a plan.
type PlannedStep struct {
	Step  string `json:"step"`
	Cause string `json:"cause"`
}

// EventKind says what an event reports.
type EventKind string

// The kinds.
const (
	StepStarted  EventKind = "started"
	StepProgress EventKind = "progress" // detail while a step runs: a milestone, bytes loaded
	StepDone     EventKind = "done"
	StepFailed   EventKind = "failed"
	Warning      EventKind = "warning"
	Note         EventKind = "note" // said once, e.g. a chosen subnet or a re-created container
)

// Event is one line of the progress stream.
type Event struct {
	At      time.Time     `json:"at"`
	Kind    EventKind     `json:"kind"`
	Step    string        `json:"step,omitempty"` // "create container"
	Cause   string        `json:"cause,omitempty"`
	Message string        `json:"message,omitempty"`
	Changed bool          `json:"changed"`             // with done
	Elapsed time.Duration `json:"elapsedNs,omitempty"` // with done and failed
}

// Sink receives events, one at a time and in order.
type Sink interface{ Event(Event) }

// Status is the document of `gateway status -o json`. Fields are only added.
type Status struct {
	Name         gateway.Name      `json:"name"`
	Word         Word              `json:"status"`
	Endpoint     string            `json:"endpoint,omitempty"`
	Healthy      bool              `json:"healthy"`
	Active       bool              `json:"active"` // the selected gateway
	Settings     *gateway.Settings `json:"settings,omitempty"`
	Container    *ContainerStatus  `json:"container,omitempty"`
	Volume       *VolumeStatus     `json:"volume,omitempty"`
	Network      *NetworkStatus    `json:"network,omitempty"`
	Certificates *CertStatus       `json:"certificates,omitempty"`
	Node         *nodeapi.Status   `json:"node,omitempty"`
	Edge         *nodeapi.Edge     `json:"edge,omitempty"` // of a node that has one
	Checks       []nodeapi.Check   `json:"checks"`
	Remediation  []string          `json:"remediation,omitempty"` // commands to run, best first
}

// ContainerStatus describes the container.
type ContainerStatus struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	Image      string    `json:"image"`      // id
	ImageDrift bool      `json:"imageDrift"` // its tag now names another image
	Restarts   int       `json:"restarts"`
	StartedAt  time.Time `json:"startedAt"`
}

// VolumeStatus describes the volume.
type VolumeStatus struct {
	Name      string          `json:"name"`
	Asides    []nodeapi.Aside `json:"asides"`    // whole states that were set aside, newest first, as the others
	Snapshots []nodeapi.Aside `json:"snapshots"` // of the data of the present state
	Databases []nodeapi.Aside `json:"databases"` // data of the present state that gave way to a snapshot's
}

// Restorable is all that Restore can bring back.
func (v VolumeStatus) Restorable() []nodeapi.Aside {
	return slices.Concat(v.Asides, v.Snapshots, v.Databases)
}

// NetworkStatus describes the network.
type NetworkStatus struct {
	Name   string `json:"name"`
	Subnet string `json:"subnet"`
}

// CertStatus describes the certificates as the host sees them.
type CertStatus struct {
	NotAfter        time.Time `json:"notAfter"` // of the server certificate
	SANs            []string  `json:"sans"`
	HostCopyMatches bool      `json:"hostCopyMatches"`
}

// Summary is one row of `gateway list`.
type Summary struct {
	Name     gateway.Name `json:"name"`
	Word     Word         `json:"status"`
	Endpoint string       `json:"endpoint,omitempty"`
	Active   bool         `json:"active"`
}

// Gateways is what the command line asks of this package. *Manager is it.
type Gateways interface {
	Start(ctx context.Context, opts StartOptions, sink Sink) (StartResult, error)
	Stop(ctx context.Context, name gateway.Name, sink Sink) (was Word, err error)
	Destroy(ctx context.Context, name gateway.Name, sink Sink) (was Word, err error)
	Restore(ctx context.Context, name gateway.Name, aside string, sink Sink) (presentSetAsideAs string, err error)
	// Restorable is what Restore can bring back, by kind and the newest first.
	Restorable(ctx context.Context, name gateway.Name) ([]nodeapi.Aside, error)
	Status(ctx context.Context, name gateway.Name) (Status, error)
	List(ctx context.Context) ([]Summary, error)
	Select(ctx context.Context, name gateway.Name) error
	Logs(ctx context.Context, name gateway.Name, tail int, follow bool, w io.Writer) error
	Exec(ctx context.Context, name gateway.Name, argv []string, stdio Stdio) (exitCode int, err error)
}

// Stdio are the streams of a command run in the node.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
	TTY      bool
	Sizes    <-chan TermSize
}

// TermSize is a terminal's size in cells.
type TermSize struct{ Width, Height uint }
