package bootstrap

import (
	"net/netip"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Observed is one snapshot of a gateway. A nil pointer means absent. The last
// group is looked at only where a plan may need it.
type Observed struct {
	Name       gateway.Name
	At         time.Time
	Latency    time.Duration // of a call of the engine
	Container  *docker.Container
	Volume     *docker.Volume
	Network    *docker.Network
	Guests     []docker.Container // user containers and their sidecars; looked at by verbs that take nothing else into account
	Helper     bool               // a helper container of an interrupted run is there
	Active     gateway.Name       // the selected gateway; empty: none, or it cannot be read
	NoneActive bool               // none is selected

	Content  Content          // of the volume
	Settings gateway.Settings // with ContentSettings
	Damage   error            // with ContentDamaged or ContentNewer: why
	Asides   []string         // with ContentEmpty or a gateway never initialized

	Healthy   bool
	Unhealthy error           // why not, of a running container
	Node      *nodeapi.Status // of a running container that is not healthy, when it answers
	LastLine  string          // of the log of a container that keeps ending

	Edge    *nodeapi.Edge // of a healthy gateway, if its node says
	session *Session      // with the Kubernetes API of a healthy gateway

	Engine   *docker.Info
	Image    *docker.Image  // the image a fresh gateway is asked to run
	ImageRef string         // its name
	Images   []docker.Image // local node images
	Ranges   []TakenRange   // without those of this gateway's own network
	Ports    []TakenPort    // of those that are wanted
	FreeHTTP int            // a free port for nginx; 0: there is none
	NotLocal bool           // the address to publish ports on is not one of this host
}

// Content says what a volume holds.
type Content string

// The kinds of content.
const (
	ContentUnknown  Content = ""         // no volume, or no image to look into it with
	ContentEmpty    Content = "empty"    // nothing of a gateway's state
	ContentSettings Content = "settings" // a readable gateway.json
	ContentNewer    Content = "newer"    // a gateway.json of a newer openshell
	ContentDamaged  Content = "damaged"  // state without a readable gateway.json
)

// TakenRange is a range of addresses in use.
type TakenRange struct {
	Prefix netip.Prefix
	By     string // "network bridge", "interface tun0"
}

// TakenPort is a wanted host port that something else holds.
type TakenPort struct {
	Port  int
	Proto string
	By    string // "container web", "process nginx (812)"
}

// bootGrace is how long a container may run before a node that does not
// answer counts as degraded rather than starting.
const bootGrace = 30 * time.Second

// Word is the state in one word.
func (o Observed) Word() Word {
	switch {
	case len(o.foreign()) > 0:
		return Foreign
	case o.Container == nil && o.Volume == nil:
		return Absent
	case o.Container != nil && (o.Container.State == docker.StateDead || o.Container.State == docker.StateRemoving):
		return Removing
	case o.Content == ContentDamaged:
		return Broken
	}
	if o.Container == nil {
		if o.unborn() {
			return Unborn
		}
		return Suspended
	}
	switch o.Container.State {
	case docker.StateRunning:
		return o.runningWord()
	case docker.StatePaused:
		return Paused
	case docker.StateRestarting:
		return CrashLooping
	case docker.StateCreated, docker.StateExited:
		switch {
		case o.Volume == nil:
			return Broken
		case o.unborn():
			return Unborn
		}
		return Stopped
	}
	return Unknown
}

func (o Observed) runningWord() Word {
	switch {
	case o.Healthy:
		return Running
	case o.Node == nil && o.At.Sub(o.Container.StartedAt) < bootGrace:
		return Starting
	case o.Node != nil && o.Node.Phase == nodeapi.Booting:
		return Starting
	}
	return DegradedWord
}

// unborn reports that the gateway has never been healthy.
func (o Observed) unborn() bool {
	return o.Content == ContentEmpty || o.Content == ContentSettings && o.Settings.Initialized == nil
}

// up reports that the container has processes.
func (o Observed) up() bool { return up(o.Container) }

func up(c *docker.Container) bool {
	if c == nil {
		return false
	}
	switch c.State {
	case docker.StateRunning, docker.StatePaused, docker.StateRestarting:
		return true
	}
	return false
}

// foreign names the resources that have the gateway's names but not its labels.
func (o Observed) foreign() []string {
	var out []string
	add := func(kind string, labels map[string]string) {
		if !o.Name.Owns(labels) {
			out = append(out, kind+" "+o.Name.Resource())
		}
	}
	if o.Container != nil {
		add("container", o.Container.Labels)
	}
	if o.Volume != nil {
		add("volume", o.Volume.Labels)
	}
	if o.Network != nil {
		add("network", o.Network.Labels)
	}
	return out
}
