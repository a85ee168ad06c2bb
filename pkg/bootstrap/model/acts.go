package model

import "fmt"

// Act is a command, or something that happens to a gateway.
type Act struct {
	Name  string
	Flags Flags // of start
	Gen   int   // of restore
	Port  int   // of take and free
	Kind  string
	Cut   int // of a command: it is cut short at this call to the engine, then run again; 0: not
}

func (a Act) String() string {
	s := a.Name
	if a.Kind != "" {
		s += " " + a.Kind
	}
	if a.Gen+a.Port > 0 {
		s += fmt.Sprintf(" %d", a.Gen+a.Port)
	}
	if a.Flags != (Flags{}) {
		s += fmt.Sprintf(" %+v", a.Flags)
	}
	if a.Cut > 0 {
		s += fmt.Sprintf(", cut short at call %d and run again", a.Cut)
	}
	return s
}

// The names of commands.
const (
	Start   = "start"
	Stop    = "stop"
	Destroy = "destroy"
	Status  = "status"
	Restore = "restore"
	Select  = "select"
	Use     = "use" // by a command that needs a healthy gateway
)

// The names of what happens.
const (
	Kill          = "docker kill"
	Remove        = "docker rm --force"
	DockerStop    = "docker stop"
	DockerStart   = "docker start"
	Pause         = "docker pause"
	Unpause       = "docker unpause"
	Policy        = "docker update --restart=no"
	Die           = "a removal stops half way"
	NodeExit      = "the node's process ends"
	RestartEngine = "the engine restarts"
	EngineDown    = "the engine goes down"
	EngineUp      = "the engine comes up"
	NetworkGone   = "docker network rm"
	Overlap       = "a VPN takes the network's addresses"
	VolumeGone    = "the volume is lost"
	FilesGone     = "the host's files are removed"
	Occupy        = "a process takes port"
	Free          = "the process leaves port"
	ForeignComes  = "somebody makes a thing of the name:"
	ForeignGoes   = "somebody removes the"
	Untag         = "the image loses its name"
	ImageGone     = "the image is removed"
	ImageBuilt    = "the image is built again"
	Garble        = "gateway.json is overwritten"
	Ungarble      = "gateway.json is put back"
	Damage        = "the database is damaged"
	Undamage      = "the database is put back"
	SetAside      = "the state is set aside by hand"
	BreakNode     = "the node begins to end"
	MendNode      = "the node no longer ends"
	GoMute        = "the endpoint stops answering"
	Speak         = "the endpoint answers again"
)

// Commands are those that make sense at any time, the usual ones more than once.
func (w *World) Commands() []Act {
	acts := []Act{
		{Name: Start}, {Name: Start}, {Name: Start}, {Name: Start}, {Name: Start}, {Name: Use}, {Name: Stop}, {Name: Stop},
		{Name: Destroy}, {Name: Status}, {Name: Select}, {Name: Restore, Gen: 99},
		{Name: Start, Flags: Flags{DryRun: true}},
		{Name: Start, Flags: Flags{Recreate: true}},
		{Name: Start, Flags: Flags{Recreate: true, DryRun: true, Port: w.others.Port}},
	}
	for _, port := range w.ports() {
		acts = append(acts, Act{Name: Start, Flags: Flags{Port: port}}, Act{Name: Start, Flags: Flags{Port: port, Memory: w.others.Memory}})
	}
	if w.Word() == "stopped" { // where the most can come of it
		acts = append(acts, Act{Name: Use}, Act{Name: Use})
	}
	if w.Volume != nil {
		for _, aside := range w.Volume.Asides {
			if aside.Gen != 0 {
				acts = append(acts, Act{Name: Restore, Gen: aside.Gen})
			}
		}
	}
	return acts
}

func (w *World) ports() []int { return []int{w.defaults.Port, w.others.Port} }

// Cuttable reports that a command may be cut short: what comes of it once it
// was run again is the same as if it had not been.
func (w *World) Cuttable(a Act) bool {
	switch a.Name {
	case Start, Stop, Destroy, Use:
		return !a.Flags.DryRun && w.Clone().Do(a).OK()
	}
	return false
}

// Events are what can happen now.
func (w *World) Events() []Act {
	if w.Down {
		return []Act{{Name: EngineUp}}
	}
	var acts []Act
	for _, kind := range []string{"container", "volume", "network"} {
		if w.Foreign[kind] {
			acts = append(acts, Act{Name: ForeignGoes, Kind: kind})
		}
	}
	if acts != nil {
		return acts // nothing else matters before
	}
	add := func(possible bool, name string) {
		if possible {
			acts = append(acts, Act{Name: name})
		}
	}
	c, s := w.Container, w.present()
	runs := c != nil && c.State == running
	holds := func(port int) bool { return w.up() && c.Settings.Port == port }

	add(true, EngineDown)
	add(true, RestartEngine)
	add(true, FilesGone)
	add(!w.NodeEnds, BreakNode)
	add(w.NodeEnds, MendNode)
	add(!w.Mute, GoMute)
	add(w.Mute, Speak)
	add(runs, Kill)
	add(runs, DockerStop)
	add(c != nil, Remove)
	add(runs && !s.Unreadable, Pause)
	add(c != nil && c.State == paused, Unpause)
	add(c != nil && c.State != dead && c.Policy, Policy)
	add(runs, NodeExit)
	add(c != nil && c.State == exited, Die)
	add(c != nil && c.State == exited && w.Volume != nil && w.Network != nil && !w.Held[c.Settings.Port] && s != nil && !s.Garbled, DockerStart)
	add(w.Network != nil && !w.up(), NetworkGone)
	add(w.Network != nil && !w.Network.Overlapped, Overlap)
	add(w.Volume != nil && (c == nil || c.State == exited && c.Image == w.Image && !w.NoImage), VolumeGone)
	add(!w.NoImage && w.Tagged, Untag)
	add(!w.NoImage && !w.up(), ImageGone)
	add(w.NoImage || !w.Tagged, ImageBuilt)
	add(!w.up() && s != nil && s.Initialized && !s.Garbled, Garble)
	add(!w.up() && s != nil && s.Garbled, Ungarble)
	add(!w.up() && s != nil && s.Initialized && !s.Unreadable, Damage)
	add(!w.up() && s != nil && s.Unreadable, Undamage)
	add(!w.up() && s != nil && s.Initialized && !w.NoImage, SetAside)
	for _, port := range w.ports() {
		if w.Held[port] {
			acts = append(acts, Act{Name: Free, Port: port})
		} else if !holds(port) {
			acts = append(acts, Act{Name: Occupy, Port: port})
		}
	}
	switch {
	case c == nil && w.Volume == nil:
		acts = append(acts, Act{Name: ForeignComes, Kind: "volume"})
	case c == nil:
		acts = append(acts, Act{Name: ForeignComes, Kind: "container"})
	}
	if w.Network == nil {
		acts = append(acts, Act{Name: ForeignComes, Kind: "network"})
	}
	return acts
}

// Do lets an act happen. What it returns of a command is how it may end.
func (w *World) Do(a Act) Exits {
	switch a.Name {
	case Start:
		return w.start(a.Flags)
	case Stop:
		return w.stop()
	case Destroy:
		return w.destroy()
	case Restore:
		return w.restore(a.Gen)
	case Select:
		return w.choose()
	case Use:
		return w.use()
	case Status:
		return ends(w.Facts().StatusExit)
	}
	w.happen(a)
	return nil
}

func (w *World) happen(a Act) {
	switch a.Name {
	case Kill, DockerStop:
		w.Container.State = exited
	case Remove:
		w.Container = nil
	case DockerStart:
		w.Container.State = running
		w.begin()
	case Pause:
		w.Container.State = paused
	case Unpause:
		w.Container.State = running
	case Policy:
		w.Container.Policy = false
	case Die:
		w.Container.State = dead
	case NodeExit:
		w.again()
	case RestartEngine:
		if w.up() {
			w.again()
		}
	case EngineDown, EngineUp:
		w.Down = a.Name == EngineDown
	case NetworkGone:
		w.Network = nil
	case Overlap:
		w.Network.Overlapped = true
	case VolumeGone:
		w.Volume = nil
	case FilesGone:
		w.Bundle, w.Selected = 0, false
	case Occupy, Free:
		w.Held[a.Port] = a.Name == Occupy
	case ForeignComes:
		w.Foreign[a.Kind] = true
	case ForeignGoes:
		delete(w.Foreign, a.Kind)
	case Untag:
		w.Tagged = false
	case ImageGone:
		w.NoImage, w.Tagged = true, false
	case ImageBuilt:
		w.Image++
		w.NoImage, w.Tagged = false, true
	case Garble, Ungarble:
		w.present().Garbled = a.Name == Garble
	case Damage, Undamage:
		w.present().Unreadable = a.Name == Damage
	case SetAside:
		w.Volume.Asides = append(w.Volume.Asides, *w.present())
		w.Volume.Present = nil
	case BreakNode, MendNode:
		w.NodeEnds = a.Name == BreakNode
	case GoMute, Speak:
		w.Mute = a.Name == GoMute
	}
}

// again is what Docker does with a process that has ended.
func (w *World) again() {
	w.Container.State = exited
	if w.Container.Policy {
		w.Container.State = running
		w.begin()
	}
}

// begin lets the node end that does so.
func (w *World) begin() {
	if w.NodeEnds {
		w.Container.State = restarting
	}
}
