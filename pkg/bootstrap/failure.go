package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	logLines = 2000
	maxHints = 3
)

// failed is the failure path: first the diagnosis is saved, then what this run
// did is undone, unless waiting just took too long.
func (r *run) failed(ctx context.Context, err error) error {
	if taken := (*chosenTaken)(nil); errors.As(err, &taken) {
		// Start chooses another; there is no failure to speak of.
		r.rollback(ctx)
		return err
	}
	e := *stepError(ctx, err)
	e.Hints = append([]string(nil), e.Hints...)
	// The user's Ctrl-C ends the work, not the tidying up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if r.unreadable && e.ID == fault.StateDamaged {
		r.offerSnapshots(ctx, &e)
	}
	content := r.diagnosis(ctx, &e)
	path, saveErr := r.Host.SaveFailure(r.plan.Name, content)
	leave := e.ID == fault.Timeout || e.ID == fault.IdleTimeout
	switch {
	case leave:
	case r.opts.KeepOnFailure:
		r.out.event(Event{Kind: Note, Message: "everything is left as it is, as --keep-on-failure asks"})
	default:
		if r.rollback(ctx) && saveErr == nil {
			// Taking back the host files took the log with them.
			path, saveErr = r.Host.SaveFailure(r.plan.Name, content)
		}
	}
	if saveErr != nil {
		r.out.warn("the diagnosis could not be saved: " + saveErr.Error())
	} else {
		e.Hints = append(e.Hints, "what the node said is in "+path)
	}
	resumed := r.plan.Action == ActionResume || r.plan.Action == ActionVerify
	if e.Exit != fault.ExitDecision && (resumed || leave || r.settings.Initialized != nil) {
		e.Hints = append(e.Hints, fmt.Sprintf("the state is kept; try again: `openshell gateway start %s`", r.plan.Name))
	}
	e.Hints = e.Hints[:min(len(e.Hints), maxHints)]
	return &e
}

// rollback takes back what this run made, and nothing else. It says whether
// the host files went too.
func (r *run) rollback(ctx context.Context) (hostFiles bool) {
	name := r.plan.Name.Resource()
	m := r.made
	silent := false
	defer func() {
		if silent {
			r.out.warn("what this run did stays until the next start: the Docker Engine does not answer")
		}
	}()
	undo := func(what string, changed bool, err error) {
		switch {
		case docker.IsUnreachable(err): // each of them would say so at length
			silent = true
		case err != nil:
			r.out.warn(what + ": " + err.Error())
		case changed:
			r.out.event(Event{Kind: Note, Message: what})
		}
	}
	if m.settings {
		err := r.takeBackSettings(ctx)
		undo("took back the settings", err == nil, err)
	}
	if m.container {
		changed, err := removed(r.Engine.RemoveContainer(ctx, r.container))
		undo("removed the container that this run made", changed, err)
	} else if m.started {
		changed, err := r.stopGracefully(ctx, r.container, false)
		undo("stopped the container; it is kept", changed, err)
	}
	if m.volume {
		changed, err := removed(r.Engine.RemoveVolume(ctx, name))
		undo("removed the volume that this run made", changed, err)
	}
	if m.network {
		changed, err := r.removeNetwork(ctx)
		undo("removed the network that this run made", changed, err)
	}
	if m.hostFiles && m.volume {
		err := r.Host.Remove(r.plan.Name)
		undo("removed the host files of the gateway", err == nil, err)
		return err == nil
	}
	return false
}

// diagnosis is what goes to last-failure.log.
func (r *run) diagnosis(ctx context.Context, e *fault.Error) []byte {
	var b bytes.Buffer
	r.mu.Lock()
	step, report := r.failedOp, r.report
	r.mu.Unlock()
	fmt.Fprintf(&b, "time: %s\nopenshell: %s\nfailure: %s: %s\nfailing step: %s\n",
		time.Now().UTC().Format(time.RFC3339), r.Version, e.ID, e.Error(), step)
	fmt.Fprintf(&b, "\n%s", r.plan)
	if r.container == "" {
		return b.Bytes()
	}
	c, err := r.Engine.Container(ctx, r.container)
	if err != nil {
		fmt.Fprintf(&b, "\ncontainer: %v\n", err)
		return b.Bytes()
	}
	fmt.Fprintf(&b, "\ncontainer: %s, exit code %d, out of memory %t, %d restarts, image %s\n", c.State, c.ExitCode, c.OOMKilled, c.Restarts, c.ImageID)
	if report == nil && c.State == docker.StateRunning {
		if s, err := r.Node.Status(ctx, c.ID); err == nil {
			report = &s
		}
	}
	if report != nil {
		text, err := json.MarshalIndent(report, "", "  ")
		fmt.Fprintf(&b, "\nnode report:\n%s\n", text)
		if err != nil {
			fmt.Fprintf(&b, "node report: %v\n", err)
		}
	}
	text, err := r.tail(ctx, c.ID, logLines)
	fmt.Fprintf(&b, "\nnode log:\n%s", text)
	if err != nil {
		fmt.Fprintf(&b, "\nnode log: %v\n", err)
	}
	return b.Bytes()
}

// waitedEnough is the end of waiting; nothing is undone.
func (r *run) waitedEnough(id fault.ID, what string) error {
	e := fault.New(id, fault.ExitTimeout, "%s; it was left running", what)
	if r.report != nil {
		e.Because(fmt.Errorf("%s", stuckAt(*r.report)))
	} else {
		e.Because(fmt.Errorf("the node has not reported anything"))
	}
	return e
}

// stuckAt says in one line how far a boot came and what it waits for.
func stuckAt(s nodeapi.Status) string {
	var parts []string
	if n := len(s.Milestones); n > 0 {
		parts = append(parts, fmt.Sprintf("the last milestone was %s", s.Milestones[n-1].Name))
	} else {
		parts = append(parts, "no milestone was reached")
	}
	for _, c := range s.Components {
		switch {
		case c.Name == nodeapi.EdgeComponent: // it has its turn afterwards
		case c.LastExit != "" && c.State != "ready":
			parts = append(parts, fmt.Sprintf("%s is in %s after: %s", c.Name, c.State, c.LastExit))
		case c.State == "waiting" || c.State == "running":
			parts = append(parts, fmt.Sprintf("%s is not ready", c.Name))
		}
	}
	for _, c := range s.Checks {
		if !c.OK && c.Message != "" {
			parts = append(parts, fmt.Sprintf("%s: %s", c.ID, c.Message))
		}
	}
	return strings.Join(parts, "; ")
}

// nodeFailure is the node's own verdict that it cannot go on.
func nodeFailure(name gateway.Name, f *nodeapi.Failure) error {
	if f == nil {
		return fault.New(fault.NodeFailed, fault.ExitFailure, "the node of gateway %s gave up", name)
	}
	switch f.ID {
	case nodeapi.FailureStateUnreadable, nodeapi.FailureSettings:
		return fault.New(fault.StateDamaged, fault.ExitDecision, "the state of gateway %s cannot be read: %s", name, f.Message).
			Hint("states set aside earlier, if any, are in `openshell gateway status %s`", name).
			Hint("when the state is given up, start over: `openshell gateway start %s --recreate`", name)
	case nodeapi.FailureDiskFull:
		return fault.New(fault.HostUnfit, fault.ExitFailure, "the disk of gateway %s is full: %s", name, f.Message).
			Hint("see what takes it: `docker system df`")
	case nodeapi.FailureHost:
		return fault.New(fault.HostUnfit, fault.ExitFailure, "this host cannot run the node of gateway %s: %s", name, f.Message).
			Hint("look for what is wrong: `openshell doctor check`")
	}
	return fault.New(fault.NodeFailed, fault.ExitFailure, "the node of gateway %s gave up: %s", name, f.Message)
}
