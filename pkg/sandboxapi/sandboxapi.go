// Package sandboxapi is the contract between the three who deal with a
// sandbox: the gateway server, which makes its pod, the supervisor
// openshell-sandbox, which is PID 1 in it, and clients, which speak SSH to the
// supervisor through the gateway.
package sandboxapi

import "time"

// Places inside a sandbox.
const (
	BinaryDir = "/opt/openshell/bin"              // read-only, from the node or from the server's image
	Binary    = BinaryDir + "/openshell-sandbox"  // the pod's command
	Workspace = "/sandbox"                        // home of the sandbox user, on the claim
	StateDir  = "/run/openshell/state"            // what the supervisor remembers, on the claim; root's alone
	SecretDir = "/run/openshell/secret"           // the sandbox's Secret, mode 0400, root's alone
	HostKey   = SecretDir + "/" + SecretHostKey   // read once
	Handshake = SecretDir + "/" + SecretHandshake // read at every connection: it may be replaced
	Environ   = SecretDir + "/" + SecretEnviron   // read once
)

// Directories of the claim, mounted at Workspace and StateDir.
const (
	ClaimWorkspace = "workspace"
	ClaimState     = "state"
)

// Keys of the sandbox's Secret.
const (
	SecretHostKey   = "ssh-host-key"  // PEM in OpenSSH's form, Ed25519
	SecretHandshake = "handshake-key" // 64 hexadecimal digits, see package handshake
	SecretEnviron   = "environment"   // JSON object of strings
)

// Environment of the supervisor. None of it is secret.
const (
	EnvID       = "OPENSHELL_SANDBOX_ID"
	EnvName     = "OPENSHELL_SANDBOX"
	EnvEndpoint = "OPENSHELL_ENDPOINT"        // URL of the gateway as the sandbox reaches it
	EnvCommand  = "OPENSHELL_SANDBOX_COMMAND" // a Command as JSON; empty or unset: none
	EnvListen   = "OPENSHELL_SSH_LISTEN_ADDR" // host:port
	EnvLogLevel = "OPENSHELL_LOG_LEVEL"       // debug, info, warn or error; empty: info
)

// SSHPort is where the supervisor listens in the pod: one line of preface
// (package handshake), then SSH. The user is User, without authentication: the
// preface has proved that the gateway let the client in.
const (
	SSHPort = 2222
	User    = "sandbox"
	UID     = 1000
	GID     = 1000
)

// Command is what a sandbox runs once it is up.
type Command struct {
	Argv      []string `json:"argv"`
	TTY       bool     `json:"tty,omitempty"`
	Stdin     bool     `json:"stdin,omitempty"`     // reads what attached clients send; else /dev/null
	NoRestart bool     `json:"noRestart,omitempty"` // not run again after an interruption
	Hold      bool     `json:"hold,omitempty"`      // waits for an Attach with Start
}

// Types of SSH channels beside "session" and "direct-tcpip". Each carries one
// JSON document as its extra data, and is refused with its reason in one line.
const (
	// ChannelExec runs Exec.Argv. Data is stdin and stdout, extended data 1 is
	// stderr; "window-change" and "signal" requests and the final "exit-status"
	// or "exit-signal" are those of a session.
	ChannelExec = "exec@openshell.ai"
	// ChannelAttach is the same for the sandbox's Command: its output so far
	// (at most ReplayBytes), then as it comes, then its end. Closing the channel
	// leaves the command running.
	ChannelAttach = "attach@openshell.ai"
	// ChannelStatus sends a Status as a JSON line at once and after every
	// change, until it is closed. Extra data: {}.
	ChannelStatus = "status@openshell.ai"
	// ChannelLogs answers a LogQuery with LogLines, one JSON document a line.
	ChannelLogs = "logs@openshell.ai"
)

// RequestComplete is sent on a ChannelLogs after its last line, so that the end
// of the log is not mistaken for that of the connection.
const RequestComplete = "complete@openshell.ai"

// MaxExtra bounds a document that is a channel's extra data, which travels in
// one SSH packet. An Exec may be longer, up to MaxDocument: then the extra data
// is an Inline, and the document stands before stdin in the channel's data.
const (
	MaxExtra    = 128 << 10
	MaxDocument = 16 << 20 // more than the kernel takes as arguments, escaped
)

// Inline says how long the document is that begins a channel's data.
type Inline struct {
	DocumentBytes int `json:"documentBytes"`
}

// ReplayBytes of a command's output are kept and shown to who attaches.
const ReplayBytes = 8 << 20

// Exec asks for a process of the sandbox user.
type Exec struct {
	Argv []string          `json:"argv"`
	Dir  string            `json:"dir,omitempty"` // default: Workspace
	Env  map[string]string `json:"env,omitempty"` // over the sandbox's own
	TTY  *TTY              `json:"tty,omitempty"`
}

// TTY is a terminal of a client.
type TTY struct {
	Term string `json:"term"`
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// Attach asks for the sandbox's command.
type Attach struct {
	Start bool `json:"start,omitempty"` // if it is held
	TTY   *TTY `json:"tty,omitempty"`   // size of the client's terminal
}

// Status is what the supervisor says of itself.
type Status struct {
	Version string         `json:"version"`
	Command *CommandStatus `json:"command,omitempty"` // nil: the sandbox has none
	// Attached are the clients that are attached to the command; the last of
	// those that were went at DetachedAt.
	Attached   int       `json:"attached,omitempty"`
	DetachedAt time.Time `json:"detachedAt,omitzero"`
}

// CommandState is where a command is in its life.
type CommandState string

// The states of a command.
const (
	CommandWaiting     CommandState = "waiting" // held
	CommandRunning     CommandState = "running"
	CommandExited      CommandState = "exited" // never runs again
	CommandInterrupted CommandState = "interrupted"
)

// CommandStatus is how the command fares.
type CommandStatus struct {
	State     CommandState `json:"state"`
	ExitCode  int          `json:"exitCode"` // when exited; 128 + n after signal n
	StartedAt time.Time    `json:"startedAt,omitzero"`
	EndedAt   time.Time    `json:"endedAt,omitzero"`
	Runs      int          `json:"runs"`
	Message   string       `json:"message,omitempty"` // why it could not be run
}

// Sources of log lines.
const (
	LogCommand    = "command"    // the command's output
	LogSupervisor = "supervisor" // the supervisor's own
)

// LogQuery selects log lines.
type LogQuery struct {
	Lines   int       `json:"lines,omitempty"` // the last so many; 0: all that are kept
	Since   time.Time `json:"since,omitzero"`
	Sources []string  `json:"sources,omitempty"` // empty: all
	Level   string    `json:"level,omitempty"`   // the least; empty: all
	Follow  bool      `json:"follow,omitempty"`  // until the channel is closed
}

// LogLine is one line of a log.
type LogLine struct {
	At      time.Time         `json:"at"`
	Source  string            `json:"source"`
	Level   string            `json:"level"`            // of output: info for stdout, warn for stderr
	Stream  string            `json:"stream,omitempty"` // of output: stdout or stderr
	Message string            `json:"message"`          // without the line's end
	Fields  map[string]string `json:"fields,omitempty"`
}

// Labels and annotations on a sandbox's objects.
const (
	LabelID        = "openshell.ai/sandbox-id"
	LabelManagedBy = "openshell.ai/managed-by" // value ManagedBy
	ManagedBy      = "openshell"
	// AnnotationImage is the name that the user gave for the image, where it is
	// not that of the pod.
	AnnotationImage = "openshell.ai/image-name"
)

// Namespace of sandboxes.
const Namespace = "openshell-sandboxes"

// ImagePrefix begins the names of images that the gateway holds by itself and
// never pulls; LocalImage names one by the digest of what was streamed in:
// "openshell.internal/image:<64 hexadecimal digits>".
const (
	ImagePrefix = "openshell.internal/"
	LocalImage  = ImagePrefix + "image:"
)
