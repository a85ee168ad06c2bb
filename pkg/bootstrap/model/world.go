// Package model is the state table of the gateway contract as a program, for
// tests: what a gateway is called in every state, what every command does to
// it, how the command ends and what of the user's survives. It says so from the
// table and not from the code that it is compared with, of which it imports
// nothing but the exit codes.
package model

import (
	"slices"

	"openshell.ai/openshell/pkg/fault"
)

// Settings are those that a flag of a start can change.
type Settings struct {
	Port   int
	Memory int64 // bytes; 0: no limit
}

// State is what a volume keeps of one gateway. Gen tells gateways apart: secrets,
// certificate authority, node and files of one generation never become those of
// another. 0: the first boot did not come so far.
type State struct {
	Gen         int
	Settings    Settings
	Initialized bool // it was healthy once
	Garbled     bool // its settings cannot be read
	Unreadable  bool // the node cannot read its database
	Yielded     bool // as an aside: a sandbox command has set it aside
}

// Container is the one of the gateway's name and labels.
type Container struct {
	State    string // Docker's word
	Settings Settings
	Policy   bool // Docker starts it again
	Image    int
}

// Volume is the one of the gateway's name and labels.
type Volume struct {
	Present *State
	Asides  []State
}

// Network is the one of the gateway's name and labels.
type Network struct {
	Overlapped bool // something else on this host has got its addresses
}

// World is a gateway and what around it matters to it. The zero value but for
// an image is a machine that has none.
type World struct {
	Container *Container
	Volume    *Volume
	Network   *Network
	Bundle    int  // generation that the host's certificates are of; 0: none are there
	Selected  bool // by the host's files

	Foreign  map[string]bool // container, volume, network: one of the name is somebody else's
	Down     bool            // the engine does not answer
	Image    int             // the node image; one that was built again is another
	Tagged   bool            // it has its name
	NoImage  bool            // it is not there at all
	Held     map[int]bool    // ports that processes of the host listen on
	NodeEnds bool            // right after it was started
	Mute     bool            // the endpoint never answers

	defaults, others Settings
	born             int // the last generation
}

// New is a machine with a node image. A gateway that is made without flags has
// the settings defaults; flags ask for those of others.
func New(defaults, others Settings) *World {
	return &World{Image: 1, Tagged: true, Foreign: map[string]bool{}, Held: map[int]bool{}, defaults: defaults, others: others}
}

// Docker's words for a container.
const (
	running    = "running"
	exited     = "exited"
	paused     = "paused"
	restarting = "restarting"
	dead       = "dead"
)

func (w *World) up() bool {
	return w.Container != nil && slices.Contains([]string{running, paused, restarting}, w.Container.State)
}

func (w *World) present() *State {
	if w.Volume == nil {
		return nil
	}
	return w.Volume.Present
}

// seen reports that the volume can be looked into: through the container, or
// with an image.
func (w *World) seen() bool { return w.Container != nil || !w.NoImage }

// unborn needs more than a container where gateway.json is not there at all.
func (w *World) unborn() bool {
	if s := w.present(); s != nil {
		return w.seen() && !s.Garbled && !s.Initialized
	}
	return w.Volume != nil && !w.NoImage
}

func (w *World) healthy() bool {
	s := w.present()
	return w.Container != nil && w.Container.State == running && s != nil && s.Gen != 0 && s.Gen == w.Bundle && !s.Unreadable && !w.Mute
}

func (w *World) foreign() bool { return len(w.Foreign) > 0 }

// Word is the first column of the table that fits.
func (w *World) Word() string {
	c, s := w.Container, w.present()
	switch {
	case w.Down:
		return "unknown"
	case w.foreign():
		return "foreign"
	case c == nil && w.Volume == nil:
		return "absent"
	case c != nil && c.State == dead:
		return "removing"
	case s != nil && s.Garbled && w.seen():
		return "broken"
	case c == nil && w.unborn():
		return "unborn"
	case c == nil:
		return "suspended"
	case c.State == paused:
		return "paused"
	case c.State == restarting:
		return "crashlooping"
	case c.State == running && w.healthy():
		return "running"
	case c.State == running:
		return "degraded"
	case w.Volume == nil:
		return "broken"
	case w.unborn():
		return "unborn"
	}
	return "stopped"
}

// Facts are what of a world can be looked up.
type Facts struct {
	Word       string
	StatusExit fault.Exit
	Container  string // Docker's word; "": none
	Settings   Settings
	Volume     bool
	Present    State
	Asides     []State // by generation
	Network    bool
	Bundle     int
	Selected   bool
	Foreign    []string
	Wrong      []string // what must never be
}

// Facts are those that the model expects.
func (w *World) Facts() Facts {
	f := Facts{Word: w.Word(), Bundle: w.Bundle, Selected: w.Selected, Volume: w.Volume != nil, Network: w.Network != nil}
	switch f.Word {
	case "running":
	case "unknown":
		f.StatusExit = fault.ExitUnreachable
	default:
		f.StatusExit = fault.ExitNotRunning
	}
	if w.Container != nil {
		f.Container = w.Container.State
		if w.up() {
			f.Settings = w.Container.Settings
		}
	}
	if s := w.present(); s != nil {
		f.Present = s.visible()
	}
	if w.Volume != nil {
		for _, aside := range w.Volume.Asides {
			f.Asides = append(f.Asides, aside.visible())
		}
	}
	SortStates(f.Asides)
	for kind := range w.Foreign {
		f.Foreign = append(f.Foreign, kind)
	}
	slices.Sort(f.Foreign)
	return f
}

// visible is what can be looked up of a state.
func (s State) visible() State {
	if s.Garbled {
		return State{Gen: s.Gen, Garbled: true, Unreadable: s.Unreadable, Yielded: s.Yielded}
	}
	return s
}

// SortStates puts states into the order of Facts.
func SortStates(states []State) {
	slices.SortFunc(states, func(a, b State) int { return a.Gen - b.Gen })
}

// Clone is a copy that shares nothing.
func (w *World) Clone() *World {
	c := *w
	c.Foreign, c.Held = map[string]bool{}, map[int]bool{}
	for k, v := range w.Foreign {
		c.Foreign[k] = v
	}
	for k, v := range w.Held {
		c.Held[k] = v
	}
	if w.Container != nil {
		container := *w.Container
		c.Container = &container
	}
	if w.Network != nil {
		network := *w.Network
		c.Network = &network
	}
	if w.Volume != nil {
		c.Volume = &Volume{Asides: slices.Clone(w.Volume.Asides)}
		if w.Volume.Present != nil {
			state := *w.Volume.Present
			c.Volume.Present = &state
		}
	}
	return &c
}
