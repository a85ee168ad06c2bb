package fault

// ID names a kind of failure, in kebab-case. docs/troubleshooting.md has a
// section for every ID; a test compares the two.
type ID string

// The ids, by the room that raises them.
const (
	Usage       ID = "usage"       // bad flag, argument or combination
	BadName     ID = "bad-name"    // a name of a gateway or a sandbox that is not acceptable
	BadValue    ID = "bad-value"   // a flag value out of its accepted form
	NeedsYes    ID = "needs-yes"   // a destructive verb off a terminal without --yes
	Interrupted ID = "interrupted" // Ctrl-C
	Internal    ID = "internal"    // a failure nobody foresaw

	DockerUnreachable ID = "docker-unreachable"
	DockerRemote      ID = "docker-remote"  // ssh:// or tcp:// endpoint
	DockerTooOld      ID = "docker-too-old" // API below 1.41
	DockerTooNew      ID = "docker-too-new" // API above all that this openshell knows
	DockerFailed      ID = "docker-failed"  // the engine answered with an error
	HostUnfit         ID = "host-unfit"     // preflight: disk, inotify, cgroups, overlay

	Foreign      ID = "foreign" // a resource of our name without our labels
	PortInUse    ID = "port-in-use"
	Locked       ID = "locked"         // another openshell holds the gateway's lock
	NoSubnet     ID = "no-subnet"      // no free address range for the network
	NotFound     ID = "gateway-absent" // the verb needs a gateway that exists
	NotRunning   ID = "not-running"
	StateNewer   ID = "state-newer"   // settings of a newer openshell
	StateLost    ID = "state-lost"    // container without its volume, or asides without a present state
	StateDamaged ID = "state-damaged" // gateway.json or the node's state cannot be read
	ImageMissing ID = "image-missing"
	ImageTooOld  ID = "image-too-old" // image older than the state on the volume
	AsideMissing ID = "aside-missing" // restore of an aside that is not there

	NodeFailed   ID = "node-failed"   // the node exited or crash-loops
	IdleTimeout  ID = "idle-timeout"  // no milestone came within the idle limit
	Timeout      ID = "timeout"       // --timeout was reached
	Unhealthy    ID = "unhealthy"     // the endpoint does not answer
	ClusterError ID = "cluster-error" // the Kubernetes API answered with an error
	ClockSkew    ID = "clock-skew"    // host and node disagree by over 5 minutes
	HostFiles    ID = "host-files"    // a file under the configuration directory cannot be read or written

	EdgeFailed   ID = "edge-failed"   // nginx, OpenVPN or app-gateway of a gateway does not work
	ClientExists ID = "client-exists" // a client of the VPN has the name
	ReloadFailed ID = "reload-failed" // a build cannot be had, is refused, or does not come up

	GatewayRemote ID = "gateway-remote" // it answers not, and is not of this machine
	GatewayError  ID = "gateway-error"  // the gateway answered with an error
	Busy          ID = "busy"           // a limit of the gateway is reached
	Unsupported   ID = "unsupported"    // this gateway does not have what was asked for

	SandboxAbsent   ID = "sandbox-absent"
	SandboxExists   ID = "sandbox-exists"
	SandboxNotReady ID = "sandbox-not-ready" // starting, stopped or deleted while it was needed
	SandboxFailed   ID = "sandbox-failed"    // it could not be brought up
	SessionRefused  ID = "session-refused"   // the gateway lets this session not in
	ConnectionLost  ID = "connection-lost"   // to a sandbox, in the midst
	CommandAbsent   ID = "command-absent"    // attach to a sandbox without a command
	ImageUnusable   ID = "image-unusable"    // of a sandbox: not there, cannot be pulled, cannot run
	BuildFailed     ID = "build-failed"      // of a Dockerfile
	TransferFailed  ID = "transfer-failed"   // upload or download
	ContainerAbsent ID = "container-absent"  // there is no user container of that name
	ContainerExists ID = "container-exists"
	ContainerFailed ID = "container-failed" // it could not be started, or ended
	ServiceTaken    ID = "service-taken"    // the name leads elsewhere already
	ForwardAbsent   ID = "forward-absent"
	RouteAbsent     ID = "route-absent" // unexpose of a port that is not exposed
)
