package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"openshell.ai/openshell/pkg/bootstrap/doctor"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Ids of the checks of a gateway, beside those of its status.
const (
	checkGateway = "gateway"
	checkStart   = "start"
	checkRanges  = "ranges"
)

// Check examines the engine, this host and one gateway, which need not run nor
// exist, and changes none of them.
func (m *Manager) Check(ctx context.Context, name gateway.Name) ([]nodeapi.Check, error) {
	info, err := m.Engine.Info(ctx)
	if err != nil {
		return nil, observeError(ctx, err)
	}
	checks := append(doctor.Engine(info, time.Now()), doctor.Host(doctor.Local(info))...)
	s, err := m.Status(ctx, name)
	if err != nil {
		return nil, err
	}
	if s.Word != Absent {
		checks = append(append(checks, stateCheck(s)), s.Checks...)
	}
	switch s.Word {
	case Absent, Suspended, Unborn, Stopped:
		return m.checkStart(ctx, name, checks)
	case Running, Starting, DegradedWord:
		return m.checkRanges(ctx, s, checks)
	}
	return checks, nil
}

func stateCheck(s Status) nodeapi.Check {
	state := nodeapi.Check{ID: checkGateway, OK: s.Word == Running}
	if !state.OK {
		state.Message = "gateway " + string(s.Name) + " is " + string(s.Word)
		if len(s.Remediation) > 0 {
			state.Message += ": `" + s.Remediation[0] + "`"
		}
	}
	return state
}

// checkStart adds what a start would be refused for: a port that another
// process holds, an image that is gone. It asks the decision of the start itself.
func (m *Manager) checkStart(ctx context.Context, name gateway.Name, checks []nodeapi.Check) ([]nodeapi.Check, error) {
	locked, unlock, err := m.tryLock(ctx, name)
	if err != nil || !locked { // somebody is about to start it
		return checks, err
	}
	defer unlock()
	opts := StartOptions{Name: name}
	o, err := m.Observe(ctx, opts)
	if fault.HasID(err, fault.Locked) { // of another user's openshell
		return checks, nil
	}
	if err == nil {
		defer o.session.Close()
		_, err = Decide(o, opts)
	}
	if docker.IsUnreachable(err) || ctx.Err() != nil {
		return nil, err
	}
	return append(checks, outcomeCheck(checkStart, err)), nil
}

// outcomeCheck is ok without an error. The first hint goes along: it is what to do.
func outcomeCheck(id string, err error) nodeapi.Check {
	if err == nil {
		return nodeapi.Check{ID: id, OK: true}
	}
	c := nodeapi.Check{ID: id, Message: err.Error()}
	var e *fault.Error
	if errors.As(err, &e) && len(e.Hints) > 0 {
		c.Message += ": " + e.Hints[0]
	}
	return c
}

// checkRanges adds whether the gateway's addresses are also those of a VPN or
// network that this host has joined since.
func (m *Manager) checkRanges(ctx context.Context, s Status, checks []nodeapi.Check) ([]nodeapi.Check, error) {
	if s.Settings == nil {
		return checks, nil
	}
	own, err := present(m.Engine.Network(ctx, s.Name.Resource()))
	if err != nil {
		return nil, observeError(ctx, err)
	}
	taken, err := m.takenRanges(ctx, own)
	if err != nil {
		return nil, observeError(ctx, err)
	}
	have := s.Settings.Network
	c := nodeapi.Check{ID: checkRanges, OK: true}
	for _, r := range []struct {
		prefix netip.Prefix
		advice string
	}{
		{have.Subnet, fmt.Sprintf("`openshell gateway stop %s`, and `openshell gateway start %[1]s` chooses another", s.Name)},
		{have.PodCIDR, "sandboxes do not reach what lies there; a new gateway would have another"},
		{have.ServiceCIDR, "sandboxes do not reach what lies there; a new gateway would have another"},
	} {
		if by, met := takenBy(r.prefix, taken); met {
			c.OK, c.Message = false, fmt.Sprintf("its address range %s meets %s: %s", r.prefix, by, r.advice)
			break
		}
	}
	return append(checks, c), nil
}

// preflight refuses an engine on which a fresh start cannot succeed. The rest
// of what doctor knows may well be lived with.
func preflight(checks []nodeapi.Check) error {
	for _, c := range checks {
		if !c.OK && doctor.Fatal(c.ID) {
			return fault.New(fault.HostUnfit, fault.ExitFailure, "this Docker Engine cannot run a gateway: %s", c.Message).
				Hint("see all checks: `openshell doctor check`")
		}
	}
	return nil
}
