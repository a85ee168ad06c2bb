// Package docker is the part of the Docker Engine API a gateway needs, with
// one error vocabulary. Every error class and every match on a Docker message
// lives here.
package docker

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// Engine is a Docker Engine. Names and ids are interchangeable in arguments
// called ref. Every method returns an error of this package's vocabulary
// (IsNotFound, IsConflict, ...); only IsNotFound means absent.
type Engine interface {
	Endpoint() string // as `docker --host` takes it
	Info(ctx context.Context) (Info, error)

	Container(ctx context.Context, ref string) (Container, error)
	Containers(ctx context.Context, labels map[string]string) ([]Container, error) // running or not; nil labels: all
	CreateContainer(ctx context.Context, spec ContainerSpec) (id string, err error)
	StartContainer(ctx context.Context, ref string) error
	StopContainer(ctx context.Context, ref string, timeout time.Duration) error // SIGTERM, then SIGKILL
	PauseContainer(ctx context.Context, ref string) error
	UnpauseContainer(ctx context.Context, ref string) error
	RemoveContainer(ctx context.Context, ref string) error                   // kills a running one; keeps volumes
	PurgeContainer(ctx context.Context, ref string) error                    // RemoveContainer, and the volumes of it that have no name
	WaitContainer(ctx context.Context, ref string) (exitCode int, err error) // until it is not running
	WaitRemoved(ctx context.Context, ref string) error                       // nil if absent; a dead one goes by RemoveContainer only
	SetRestartPolicy(ctx context.Context, ref, policy string) error
	Logs(ctx context.Context, ref string, opts LogOptions) (io.ReadCloser, error) // stdout and stderr, demultiplexed

	ReadFile(ctx context.Context, ref, path string) ([]byte, error)                 // archive API; at most 1 MiB
	WriteFile(ctx context.Context, ref, path string, mode int64, data []byte) error // archive API; makes missing parents

	Exec(ctx context.Context, ref string, spec ExecSpec) (exitCode int, err error)
	ExecStream(ctx context.Context, ref string, argv []string) (io.ReadWriteCloser, error) // stdio of a process, stderr dropped; a net.Conn with CloseWrite

	Volume(ctx context.Context, name string) (Volume, error)
	Volumes(ctx context.Context, labels map[string]string) ([]Volume, error)
	CreateVolume(ctx context.Context, name string, labels map[string]string) error
	RemoveVolume(ctx context.Context, name string) error

	Network(ctx context.Context, ref string) (Network, error)
	Networks(ctx context.Context) ([]Network, error) // without Containers
	CreateNetwork(ctx context.Context, name string, subnet netip.Prefix, labels map[string]string) error
	RemoveNetwork(ctx context.Context, ref string) error
	ConnectNetwork(ctx context.Context, ref, container string) error    // of a running container at once, else at its start
	DisconnectNetwork(ctx context.Context, ref, container string) error // nil if it is not on the network

	Image(ctx context.Context, ref string) (Image, error)
	Images(ctx context.Context, labels map[string]string) ([]Image, error)
	LoadImage(ctx context.Context, archive io.Reader, progress func(string)) (refs []string, err error)
	PullImage(ctx context.Context, ref string, progress func(string)) error
	TagImage(ctx context.Context, id, ref string) error
	SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) // an archive as LoadImage takes it, without names if ref is an id

	Close() error
}

// Info describes the engine.
type Info struct {
	Endpoint      string // unix:///var/run/docker.sock
	ServerVersion string
	APIVersion    string // negotiated
	OS            string // linux, windows
	Arch          string // amd64, arm64 (GOARCH)
	Name          string // of the machine, or virtual machine, the engine runs on
	System        string // Debian GNU/Linux 12 (bookworm), Docker Desktop
	Kernel        string
	RootDir       string // where it keeps its data
	StorageDriver string
	BackingFS     string   // file system below that; empty where the driver does not tell
	NoDType       bool     // which lacks file types in its directories
	CgroupVersion int      // 1 or 2
	NoControllers []string // control group controllers that it misses
	Rootless      bool
	UserRemap     bool // containers have users of their own
	NoSeccomp     bool
	NoForwarding  bool // the kernel does not forward IPv4
	LiveRestore   bool // containers outlive the engine's process
	NCPU          int
	MemTotal      int64 // bytes
	SystemTime    time.Time
	Warnings      []string // what it complains of itself
}

// ContainerState is Docker's word for a container.
type ContainerState string

// The states.
const (
	StateCreated    ContainerState = "created"
	StateRunning    ContainerState = "running"
	StatePaused     ContainerState = "paused"
	StateRestarting ContainerState = "restarting"
	StateRemoving   ContainerState = "removing"
	StateExited     ContainerState = "exited"
	StateDead       ContainerState = "dead"
)

// Container is a container as inspected.
type Container struct {
	ID            string
	Name          string // without a leading slash
	State         ContainerState
	ExitCode      int
	OOMKilled     bool
	Restarts      int
	CreatedAt     time.Time
	StartedAt     time.Time // of the last start; zero if never started
	Labels        map[string]string
	Hostname      string
	ImageID       string // sha256:…
	ImageRef      string // as given at creation
	RestartPolicy string
	NetworkOf     string            // id of the container whose network it shares; "": it has its own
	Networks      []string          // names
	NetworkIDs    map[string]string // name -> id the container is bound to; "" before its first start
	Volumes       map[string]string // mount point -> volume name
	Ports         []Port            // as configured, whether running or not, by host port
	NanoCPUs      int64
	Memory        int64 // bytes
}

// Port is one published port.
type Port struct {
	Host      int    // host port
	Bind      string // host address
	Container int
	Proto     string // tcp, udp
}

// ContainerSpec is a container to create.
type ContainerSpec struct {
	Name          string
	Hostname      string
	Image         string // id or name
	Labels        map[string]string
	Entrypoint    []string // nil: the image's
	Cmd           []string // nil: the image's
	Env           []string
	Network       string            // name; "none" for no network
	NetworkOf     string            // instead: the container whose network it shares, which has to run when it starts
	Volumes       map[string]string // mount point -> volume name
	Tmpfs         map[string]string // mount point -> options
	Ports         []Port
	Devices       []string
	CapAdd        []string
	CapDrop       []string // "ALL": all but CapAdd
	SecurityOpt   []string
	PrivateCgroup bool
	RestartPolicy string // unless-stopped, no
	StopSignal    string
	NoHealthcheck bool // not even the image's
	StopTimeout   time.Duration
	LogOptions    map[string]string // of the json-file driver
	NanoCPUs      int64
	Memory        int64
	AutoRemove    bool
}

// LogOptions choose what Logs returns.
type LogOptions struct {
	Tail   int // lines; 0: all
	Follow bool
	Since  time.Time
}

// ExecSpec is a command to run in a container.
type ExecSpec struct {
	Argv           []string
	Env            []string
	Stdin          io.Reader // nil: none
	Stdout, Stderr io.Writer // nil: discarded
	TTY            bool
	Resize         <-chan Size // terminal sizes, with TTY
}

// Size is a terminal's size.
type Size struct{ Width, Height uint }

// Volume is a volume as inspected.
type Volume struct {
	Name      string
	Labels    map[string]string
	CreatedAt time.Time
}

// Network is a network as inspected.
type Network struct {
	ID         string
	Name       string
	Labels     map[string]string
	Driver     string
	Subnets    []netip.Prefix
	Containers []string // names of the attached containers
}

// Image is an image as inspected.
type Image struct {
	ID        string
	Tags      []string
	Labels    map[string]string
	CreatedAt time.Time
	Arch      string
	Size      int64 // bytes
}
