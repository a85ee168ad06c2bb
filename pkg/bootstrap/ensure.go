package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// EnsureOptions say which gateway is needed.
type EnsureOptions struct {
	Name gateway.Name
}

// EnsureResult is what it took.
type EnsureResult struct {
	Start    StartResult
	Aside    string // the former state, which the node could not read; empty: none was set aside
	Restore  string // the command that brings it back
	Snapshot string // the command that brings back its newest snapshot then; empty: there is none
}

// Ensure leads to a healthy gateway for somebody who wants to use it rather than
// look after it: it starts it, and after a failure once more. Only a state that
// the node itself cannot read gives way to a fresh gateway. It is set aside, and
// no second one is until that one was restored.
func (m *Manager) Ensure(ctx context.Context, opts EnsureOptions, sink Sink) (EnsureResult, error) {
	var result EnsureResult
	if err := m.refuseElsewhere(ctx, opts.Name); err != nil {
		return result, err
	}
	out := &reporter{sink: sink}
	start := StartOptions{Name: opts.Name}
	for tries := []attempt{}; ; {
		var err error
		result.Start, err = m.Start(ctx, start, sink)
		tries = append(tries, attempt{err: err, unreadable: result.Start.unreadable, beside: start.beside})
		states, lookErr := m.statesBeside(ctx, opts.Name, tries)
		if lookErr != nil {
			return result, errors.Join(err, lookErr)
		}
		asides := unreadableAsides(states)
		switch decideEnsure(tries, asides) {
		case ensureDone:
			return result, nil
		case ensureAgain:
			out.event(Event{Kind: Note, Message: "trying once more: " + err.Error()})
		case ensureAside:
			aside, asideErr := m.setAside(ctx, opts.Name, sink)
			if asideErr != nil {
				return result, asideErr
			}
			result.Aside, result.Restore = aside, restoreCommand(opts.Name, aside)
			back := fmt.Sprintf("`%s` brings it back", result.Restore)
			if snapshot := newestSnapshot(states); snapshot != "" {
				result.Snapshot = restoreCommand(opts.Name, snapshot)
				back += fmt.Sprintf(", and after it `%s` what could be read", result.Snapshot)
			}
			out.warn(fmt.Sprintf("%s; it is set aside as %s, and a new gateway takes its place; %s", faultMessage(err), aside, back))
			if start, err = m.likeAside(ctx, opts.Name, aside); err != nil {
				return result, err
			}
		case ensureBeside:
			out.event(Event{Kind: Note, Message: "going on with a new gateway beside " + asides[len(asides)-1]})
			if start, err = m.likeAside(ctx, opts.Name, asides[len(asides)-1]); err != nil {
				return result, err
			}
		case ensureRefuse:
			return result, secondAsideError(opts.Name, asides, err)
		case ensureFail:
			return result, err
		}
	}
}

// attempt is a start and how it ended.
type attempt struct {
	err        error
	unreadable bool // the node reports of an existing state that it cannot read it
	beside     bool // a new gateway was to begin beside what was set aside
}

type ensureStep int

const (
	ensureDone   ensureStep = iota
	ensureAgain             // start once more
	ensureAside             // set the state aside, then start from nothing
	ensureBeside            // start from nothing: an interrupted run has set the state aside
	ensureRefuse            // a state was set aside already
	ensureFail
)

// decideEnsure says what follows from the attempts so far. asides are those that
// an Ensure made, oldest first. It is pure.
func decideEnsure(tries []attempt, asides []string) ensureStep {
	last := tries[len(tries)-1]
	switch {
	case last.err == nil:
		return ensureDone
	case last.beside:
		return ensureFail
	case fault.HasID(last.err, fault.StateLost) && len(asides) > 0:
		return ensureBeside
	case len(tries) == 1 && (last.unreadable || worthAnother(last.err)):
		return ensureAgain
	case !last.unreadable:
		return ensureFail
	case len(asides) > 0:
		return ensureRefuse
	}
	return ensureAside
}

// worthAnother reports whether a failure may be gone the next time. What only
// takes as long again, or needs somebody to act, is not.
func worthAnother(err error) bool {
	return slices.ContainsFunc([]fault.ID{fault.NodeFailed, fault.ClusterError, fault.DockerFailed, fault.DockerUnreachable}, func(id fault.ID) bool {
		return fault.HasID(err, id)
	})
}

// refuseElsewhere refuses a gateway that the host knows and that is not of this
// machine: a new one would take its place in the host's files.
func (m *Manager) refuseElsewhere(ctx context.Context, name gateway.Name) error {
	meta, err := m.Host.Metadata(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if m.isHere(meta.Endpoint) {
		return nil
	}
	o, err := m.glance(ctx, name)
	if err != nil {
		return observeError(ctx, err)
	}
	if o.Word() != Absent {
		return nil
	}
	return fault.New(fault.GatewayRemote, fault.ExitNotRunning, "gateway %s is at %s, which is not this machine", name, meta.Endpoint).
		Hint("start it where it runs")
}

// isHere reports whether an endpoint is an address of this host.
func (m *Manager) isHere(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "localhost" {
		return err == nil
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && (addr.IsLoopback() || m.System.HasAddress(addr.String()))
}

// statesBeside is what else there is on the volume that can be brought back. It
// is looked at only where it matters.
func (m *Manager) statesBeside(ctx context.Context, name gateway.Name, tries []attempt) ([]nodeapi.Aside, error) {
	last := tries[len(tries)-1]
	if last.err == nil || !last.unreadable && !fault.HasID(last.err, fault.StateLost) {
		return nil, nil
	}
	unlock, err := m.lock(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	o, err := m.glance(ctx, name)
	if err != nil {
		return nil, observeError(ctx, err)
	}
	if o.Volume == nil || len(o.foreign()) > 0 {
		return nil, nil
	}
	all, err := m.restorable(ctx, o)
	if err != nil {
		return nil, stepError(ctx, err)
	}
	return all, nil
}

// unreadableAsides are the states that were set aside by an Ensure, oldest first.
func unreadableAsides(all []nodeapi.Aside) []string {
	var names []string
	for _, aside := range all {
		if nodeapi.IsUnreadable(aside.Name) {
			names = append(names, aside.Name)
		}
	}
	slices.Sort(names)
	return names
}

// setAside gives the present state the name of one that cannot be read.
func (m *Manager) setAside(ctx context.Context, name gateway.Name, sink Sink) (string, error) {
	unlock, err := m.lock(ctx, name, sink)
	if err != nil {
		return "", err
	}
	defer unlock()
	o, err := m.glance(ctx, name)
	if err != nil {
		return "", observeError(ctx, err)
	}
	image, err := m.helperImage(ctx, o)
	if err != nil {
		return "", stepError(ctx, err)
	}
	if o.up() {
		if !m.stillUnreadable(ctx, o) {
			return "", fault.New(fault.Locked, fault.ExitConflict, "another openshell has started gateway %s meanwhile", name).
				Hint("run the command again")
		}
		if err := m.follow(ctx, decideStop(o), sink); err != nil {
			return "", err
		}
	}
	aside := nodeapi.StateName(nodeapi.AsidePrefix, time.Now()) + nodeapi.UnreadableSuffix
	if _, err := m.runHelper(ctx, name, image, nodeapi.Binary, nodeapi.CmdVolume, "set-aside", aside); err != nil {
		return "", stepError(ctx, err)
	}
	return aside, nil
}

// stillUnreadable reports that a node which runs has given up on its state.
func (m *Manager) stillUnreadable(ctx context.Context, o Observed) bool {
	ctx, cancel := context.WithTimeout(ctx, o.answerTime())
	defer cancel()
	s, err := m.Node.Status(ctx, o.Container.ID)
	return err == nil && s.Phase == nodeapi.Failed && s.Failure != nil && s.Failure.ID == nodeapi.FailureStateUnreadable
}

// likeAside are options for a new gateway with the settings of a state that was
// set aside: clients find it where they found the other.
func (m *Manager) likeAside(ctx context.Context, name gateway.Name, aside string) (StartOptions, error) {
	unlock, err := m.lock(ctx, name, nil)
	if err != nil {
		return StartOptions{}, err
	}
	defer unlock()
	o, err := m.glance(ctx, name)
	if err != nil {
		return StartOptions{}, observeError(ctx, err)
	}
	image, err := m.helperImage(ctx, o)
	if err != nil {
		return StartOptions{}, stepError(ctx, err)
	}
	var data []byte
	err = m.withHelper(ctx, name, helperSpec{image: image}, func(id string) (err error) {
		data, err = m.Engine.ReadFile(ctx, id, nodeapi.AsideSettings(aside))
		return err
	})
	if err != nil {
		return StartOptions{}, stepError(ctx, err)
	}
	s, err := gateway.DecodeSettings(data)
	if err != nil {
		return StartOptions{}, stepError(ctx, fmt.Errorf("settings of %s: %w", aside, err))
	}
	return StartOptions{
		Name: name, beside: true, Image: s.Image.Ref,
		Port: &s.Port, Bind: &s.Bind, GatewayHosts: &s.GatewayHosts, HTTPPort: &s.HTTPPort, HTTPTLS: &s.HTTPTLS, VPNPort: &s.VPNPort,
		CPUs: &s.CPUs, Memory: &s.Memory,
	}, nil
}

func restoreCommand(name gateway.Name, aside string) string {
	return fmt.Sprintf("openshell gateway restore %s --name %s", aside, name)
}

func faultMessage(err error) string {
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func secondAsideError(name gateway.Name, asides []string, cause error) error {
	return fault.New(fault.StateDamaged, fault.ExitDecision, "the state of gateway %s cannot be read, and a former one was set aside for that already", name).
		Hint("bring the former one back: `%s`", restoreCommand(name, asides[len(asides)-1])).
		Hint("when the present state is given up, start over: `openshell gateway start %s --recreate`", name).Because(cause)
}
