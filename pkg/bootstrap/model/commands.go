package model

import (
	"slices"

	"openshell.ai/openshell/pkg/fault"
)

// Flags are those of a start. A zero value was not given.
type Flags struct {
	Recreate, DryRun bool
	Port             int
	Memory           int64
}

func (f Flags) over(s Settings) Settings {
	if f.Port != 0 {
		s.Port = f.Port
	}
	if f.Memory != 0 {
		s.Memory = f.Memory
	}
	return s
}

// Exits are the codes with which a command may end: more than one where two
// things are wrong and the contract does not say which is told.
type Exits []fault.Exit

// OK reports that the command succeeds.
func (e Exits) OK() bool { return len(e) == 1 && e[0] == fault.ExitOK }

func ends(codes ...fault.Exit) Exits { return codes }

// untouchable is why no command may do anything, if so.
func (w *World) untouchable() Exits {
	switch {
	case w.Down:
		return ends(fault.ExitUnreachable)
	case w.foreign():
		return ends(fault.ExitConflict)
	}
	return nil
}

func (w *World) start(f Flags) Exits {
	if e := w.untouchable(); e != nil {
		return e
	}
	if w.Word() == "removing" {
		if f.DryRun {
			return ends(fault.ExitOK)
		}
		w.Container = nil
	}
	word := w.Word()
	switch {
	case f.Recreate && word != "absent":
		return w.fresh(f, f.over(w.defaults), w.replaceVolume)
	case word == "unborn" && w.present() == nil && len(w.Volume.Asides) > 0:
		return ends(fault.ExitDecision)
	case word == "unborn" && w.present() != nil:
		return w.fresh(f, f.over(w.present().Settings), w.clearVolume)
	case word == "absent", word == "unborn":
		return w.fresh(f, f.over(w.defaults), w.replaceVolume)
	case word == "broken":
		return ends(fault.ExitDecision)
	case !w.seen(), w.present() == nil: // there is nothing to look with
		return ends(fault.ExitFailure)
	}
	return w.resume(f)
}

// replaceVolume and clearVolume make room for a new state. They report whether
// the volume is this run's.
func (w *World) replaceVolume() (made bool) {
	w.Volume = &Volume{}
	return true
}

func (w *World) clearVolume() (made bool) {
	if len(w.Volume.Asides) == 0 {
		return w.replaceVolume()
	}
	w.Volume.Present = nil
	return false
}

// fresh is a first boot from nothing.
func (w *World) fresh(f Flags, want Settings, room func() bool) Exits {
	var refused Exits
	if w.Held[want.Port] {
		refused = append(refused, fault.ExitConflict)
	}
	if w.NoImage || !w.Tagged { // no registry has it
		if f.DryRun {
			return append(refused, fault.ExitOK) // it would be pulled
		}
		refused = append(refused, fault.ExitFailure)
	}
	switch {
	case refused != nil:
		return refused
	case f.DryRun:
		return ends(fault.ExitOK)
	}
	madeVolume := room()
	madeNetwork := w.remakeNetwork()
	w.Volume.Present = &State{Settings: want}
	w.Container = &Container{State: running, Settings: want, Policy: true, Image: w.Image}
	if w.NodeEnds {
		w.Container = nil
		if madeVolume {
			w.Volume = nil
		}
		if madeNetwork {
			w.Network = nil
		}
		return ends(fault.ExitFailure)
	}
	return w.serve()
}

// remakeNetwork keeps the network where it fits.
func (w *World) remakeNetwork() (made bool) {
	if w.Network != nil && !w.Network.Overlapped {
		return false
	}
	w.Network = &Network{}
	return true
}

// resume brings the state on the volume back.
func (w *World) resume(f Flags) Exits {
	s := w.present()
	want := f.over(s.Settings)
	runsOn := w.up() && w.Container.Settings == want && s.Settings == want
	renew := w.Container == nil || w.Container.Settings != want || s.Settings != want ||
		!runsOn && (w.Network == nil || w.Network.Overlapped)
	var refused Exits
	if !runsOn && w.Held[want.Port] {
		refused = append(refused, fault.ExitConflict)
	}
	if renew && w.NoImage {
		refused = append(refused, fault.ExitFailure)
	}
	switch {
	case refused != nil:
		return refused
	case f.DryRun:
		return ends(fault.ExitOK)
	}
	madeNetwork := !runsOn && w.remakeNetwork()
	s.Settings = want
	boots := renew || w.Container.State == exited || w.Container.State == restarting || s.Unreadable
	if renew {
		w.Container = &Container{Settings: want, Image: w.imageOf()}
	}
	w.Container.State, w.Container.Policy = running, true
	if failed := w.boot(boots); failed != nil {
		// What was there before is kept, what this run made is not.
		w.Container.State = exited
		if renew {
			w.Container = nil
		}
		if madeNetwork {
			w.Network = nil
		}
		return failed
	}
	return w.serve()
}

// imageOf is the image for another container: the very one, or one like it.
func (w *World) imageOf() int { return w.Image }

// boot is how the node's start fails, if it does.
func (w *World) boot(boots bool) Exits {
	var failed Exits
	if boots && w.NodeEnds {
		failed = append(failed, fault.ExitFailure)
	}
	if w.present().Unreadable {
		failed = append(failed, fault.ExitDecision)
	}
	return failed
}

// serve is the end of every start whose node came up.
func (w *World) serve() Exits {
	s := w.Volume.Present
	if s.Gen == 0 {
		w.born++
		s.Gen = w.born
	}
	w.Bundle = s.Gen
	if w.Mute {
		return ends(fault.ExitTimeout) // everything is left running
	}
	s.Initialized, w.Selected = true, true
	return ends(fault.ExitOK)
}

func (w *World) stop() Exits {
	if e := w.untouchable(); e != nil {
		return e
	}
	w.halt()
	return ends(fault.ExitOK)
}

func (w *World) halt() {
	if w.up() {
		w.Container.State = exited
	}
}

func (w *World) destroy() Exits {
	if e := w.untouchable(); e != nil {
		return e
	}
	w.Container, w.Volume, w.Network, w.Bundle, w.Selected = nil, nil, nil, 0, false
	return ends(fault.ExitOK)
}

// restore exchanges the present state for the one of generation gen.
func (w *World) restore(gen int) Exits {
	if e := w.untouchable(); e != nil {
		return e
	}
	i := -1
	if w.Volume != nil {
		i = slices.IndexFunc(w.Volume.Asides, func(s State) bool { return s.Gen == gen })
	}
	if i < 0 || w.NoImage {
		return ends(fault.ExitFailure)
	}
	w.halt()
	back := w.Volume.Asides[i]
	back.Yielded = false
	w.Volume.Asides = slices.Delete(w.Volume.Asides, i, i+1)
	if now := w.Volume.Present; now != nil {
		w.Volume.Asides = append(w.Volume.Asides, *now)
	}
	w.Volume.Present = &back
	return ends(fault.ExitOK)
}

// choose is `gateway select`.
func (w *World) choose() Exits {
	if e := w.untouchable(); e != nil {
		return e
	}
	if w.Word() == "absent" && w.Bundle == 0 {
		return ends(fault.ExitFailure)
	}
	w.Selected = true
	return ends(fault.ExitOK)
}

// use is a command that needs a healthy gateway, like `sandbox create`.
func (w *World) use() Exits {
	e := w.start(Flags{})
	if e.OK() {
		return e
	}
	if e = w.start(Flags{}); e.OK() || w.untouchable() != nil || w.Volume == nil || w.NoImage {
		return e
	}
	yielded := slices.IndexFunc(w.Volume.Asides, func(s State) bool { return s.Yielded })
	s := w.present()
	switch {
	case s == nil && yielded >= 0:
		return w.fresh(Flags{}, w.Volume.Asides[yielded].Settings, w.clearVolume)
	case s != nil && s.Unreadable && s.Initialized && slices.Equal(e, ends(fault.ExitDecision)) && w.Word() != "broken" && yielded < 0:
		w.halt()
		aside := *s
		aside.Yielded = true
		w.Volume.Asides, w.Volume.Present = append(w.Volume.Asides, aside), nil
		return w.fresh(Flags{}, aside.Settings, w.clearVolume)
	}
	return e
}
