// Package nodeapi is the contract between the CLI and openshell-node: paths in
// the node image and on the volume, the node's subcommands, and the status
// document served on the node's unix socket.
package nodeapi

import "time"

// Places inside the container.
const (
	VolumeRoot      = "/var/lib/openshell"              // mount point of the gateway's volume
	Current         = VolumeRoot + "/current"           // all state
	SettingsFile    = Current + "/gateway.json"         // the gateway's settings, see package gateway
	AdminKubeconfig = Current + "/pki/admin.kubeconfig" // written by the node before the milestone API
	DeployDir       = Current + "/deploy"               // overrides of the image's charts, manifests and images (fast deploy)
	ImageDir        = "/opt/openshell/images"           // preloaded images and index.json
	ChartDir        = "/opt/openshell/charts"           // chart sources of the image
	ManifestDir     = "/opt/openshell/manifests"        // manifests of the image
	Socket          = "/run/openshell/node.sock"        // GET /v1/status, GET /v1/watch
	SupervisorDir   = "/opt/openshell/bin"              // holds Supervisor for pods to mount; DeployDir/bin is mounted over it if it holds one
	Supervisor      = "openshell-sandbox"               // supervisor of sandboxes
	Binary          = "/usr/local/bin/openshell-node"   // multi-call binary
	KubeBinary      = "/usr/local/bin/openshell-kube"   // runs CmdImage
)

// SettingsMode is the file mode of SettingsFile.
const SettingsMode = 0o600

// Ports inside the container.
const (
	APIServerPort = 6443  // Kubernetes API
	GatewayPort   = 30051 // NodePort of the gateway server (gRPC and HTTP, mTLS)
	HTTPPort      = 7100  // nginx
	VPNPort       = 49100 // OpenVPN, udp
)

// ServerPort is the gateway server's in its pod, for sandboxes.
const ServerPort = 8080

// Subcommands of openshell-node that the CLI runs by exec, or as the command
// of a short-lived container over the volume.
const (
	CmdDial        = "dial"        // "dial api": stdio to the Kubernetes API on 127.0.0.1; "dial session": first a Session as one JSON line on stdout
	CmdStatus      = "status"      // prints one Status as JSON
	CmdWatch       = "watch"       // prints a Status as one JSON line at once and after every change, until its stdin closes
	CmdHealthcheck = "healthcheck" // exit 0 when healthy, else the failing checks on stdout
	CmdKubectl     = "kubectl"
	CmdVolume      = "volume" // "volume asides" prints what can be brought back | "volume set-aside NAME" | "volume restore NAME NAME-FOR-PRESENT": JSON on stdout
	CmdEdge        = "edge"   // "edge COMMAND [ARGUMENT...]": becomes that command, with the environment of the edge's scripts
)

// ImportTaint is on the node from its first registration until every preloaded
// image is there: only what tolerates it, with any value, runs that early.
const ImportTaint = "openshell.ai/images"

// CmdImage is a subcommand of openshell-kube, for the images of sandboxes that
// come from the laptop: "image import REF" reads an archive of `docker save`
// from stdin, "image list" prints an array of Image as JSON, "image remove
// REF..." succeeds for images that are not there as well. REF is
// sandboxapi.LocalImage and 64 hexadecimal digits.
const CmdImage = "image"

// CmdSnapshot is a subcommand of openshell-kube, for openshell-node: "snapshot
// build FILE DIRECTORY" makes data of etcd from a snapshot.
const CmdSnapshot = "snapshot"

// Exit codes of "image import"; any other but 0 is a failure of the node.
const (
	ExitImagePlatform = 3 // the image is for another kind of machine
	ExitImageArchive  = 4 // stdin is no archive with one image, or ends early
	ExitImageSpace    = 5 // the volume is full
)

// Image is an image that came from the laptop.
type Image struct {
	Ref        string    `json:"ref"`
	Size       int64     `json:"size"` // bytes of its layers, as they came
	ImportedAt time.Time `json:"importedAt"`
}

// Phase is what the node as a whole is doing.
type Phase string

// The phases.
const (
	Booting  Phase = "booting"
	Serving  Phase = "serving"  // every check passes
	Degraded Phase = "degraded" // booted once, a check fails
	Stopping Phase = "stopping"
	Failed   Phase = "failed" // cannot go on without the user: see Failure
)

// Milestone names a step of the boot. Milestones come once a boot and in this
// order, but for those that wait for the CLI (Secrets).
type Milestone string

// The milestones.
const (
	Mounts     Milestone = "mounts"
	Containerd Milestone = "containerd"
	Etcd       Milestone = "etcd"
	API        Milestone = "api"      // answers reads
	Images     Milestone = "images"   // preloaded images of the gateway are there
	Node       Milestone = "node"     // the kubelet registered and is Ready
	Secrets    Milestone = "secrets"  // the chart's Secrets exist
	Chart      Milestone = "chart"    // the chart is applied
	Workload   Milestone = "workload" // openshell-0 is Ready
	Endpoint   Milestone = "endpoint" // the NodePort accepts connections
)

// Status is the node's report. It is additive: fields are only ever added.
type Status struct {
	Phase      Phase       `json:"phase"`
	Version    string      `json:"version"`    // of the image
	Kubernetes string      `json:"kubernetes"` // vX.Y.Z
	BootedAt   time.Time   `json:"bootedAt"`
	Now        time.Time   `json:"now"`
	Milestones []Reached   `json:"milestones"`
	Components []Component `json:"components"`
	Checks     []Check     `json:"checks"`
	Failure    *Failure    `json:"failure,omitempty"`
	Edge       *Edge       `json:"edge,omitempty"` // of an image that has one
}

// Reached is a milestone and when it came.
type Reached struct {
	Name    Milestone `json:"name"`
	AfterMS int64     `json:"afterMs"` // milliseconds since BootedAt
}

// Component is one process of the node.
type Component struct {
	Name     string `json:"name"`
	State    string `json:"state"` // waiting, running, ready, backoff, stopped
	PID      int    `json:"pid,omitempty"`
	Restarts int    `json:"restarts"`
	LastExit string `json:"lastExit,omitempty"` // reason of the last exit, one line
}

// Check is one health check.
type Check struct {
	ID      string `json:"id"` // api, node, workload, tls-secrets, handshake-secret, endpoint
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty"` // why not, one line
}

// Failure says why the node cannot go on.
type Failure struct {
	ID      string `json:"id"` // see the Failure constants
	Message string `json:"message"`
}

// Kinds of Failure. Only StateUnreadable may lead the CLI to set a state aside.
const (
	FailureStateUnreadable = "state-unreadable" // the data of etcd cannot be read
	FailureDiskFull        = "disk-full"
	FailureSettings        = "settings" // gateway.json is damaged
	FailureHost            = "host"     // the kernel lacks something
)

// Has reports whether the milestone was reached.
func (s Status) Has(m Milestone) bool {
	for _, r := range s.Milestones {
		if r.Name == m {
			return true
		}
	}
	return false
}

// Session is what a client needs to speak to the Kubernetes API over the same
// stream.
type Session struct {
	Kubeconfig []byte `json:"kubeconfig"`     // an administrator's, of this boot
	Edge       *Edge  `json:"edge,omitempty"` // as of now, of an image that has one
}
