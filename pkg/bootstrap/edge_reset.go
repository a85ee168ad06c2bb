package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	resetScript  = "bin/reset-gateway.sh"
	reloadScript = "lib/reload-gateway.sh"
	keepEpoch    = "GATEWAY_KEEP_EPOCH=1" // clients of the VPN find the keys they know

	// buildKey is the public key by which the gateway accepts builds.
	buildKey     = edge.StateDir + "/build.pub"
	buildKeyMode = 0o600

	// restoreTime is for a repair in passing: who starts a gateway waits for its
	// API, not for this.
	restoreTime = 20 * time.Second
	// resetTime is for a reset that was asked for.
	resetTime = time.Minute
)

// ResetEdge implements Edges.
func (m *Manager) ResetEdge(ctx context.Context, name gateway.Name, sink Sink) error {
	return m.onEdge(ctx, name, ResetEdge, sink, func(container string, out *reporter) (bool, error) {
		reset := func() (why, err error) {
			return m.reset(ctx, name, container, resetTime, nil, func(phase string) { out.progress(ResetEdge, phase) })
		}
		why, err := reset()
		if err == nil && why != nil && m.settles(ctx, container) {
			why, err = reset()
		}
		if err == nil && why != nil {
			err = edgeFailed(name, "the edge of gateway %s was not reset", name).Because(why)
		}
		return true, err
	})
}

// ReloadEdge implements Edges.
func (m *Manager) ReloadEdge(ctx context.Context, name gateway.Name, opts ReloadOptions, sink Sink) (Reloaded, error) {
	var done Reloaded
	err := m.onEdge(ctx, name, ReloadEdge, sink, func(container string, _ *reporter) (bool, error) {
		if len(opts.Key) > 0 {
			if err := m.Engine.WriteFile(ctx, container, buildKey, buildKeyMode, opts.Key); err != nil {
				return false, stepError(ctx, err)
			}
		}
		reload := func() (why, err error) {
			return m.edgeScript(ctx, name, container, reloadScript, opts.environment(), &done)
		}
		why, err := reload()
		if err == nil && why != nil && m.settles(ctx, container) {
			why, err = reload()
		}
		if err == nil && why != nil {
			err = fault.New(fault.ReloadFailed, fault.ExitFailure, "gateway %s runs no other build than before", name).
				Hint("see how it is: `openshell gateway status %s`", name).Because(why)
		}
		return done.Changed, err
	})
	return done, err
}

// environment tells the script where the build server is.
func (o ReloadOptions) environment() []string {
	if o.Server == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(o.Server)
	if err != nil {
		return []string{"BUILD_SERVER_IP=" + strings.Trim(o.Server, "[]")}
	}
	return []string{"BUILD_SERVER_IP=" + host, "BUILD_SERVER_PORT=" + port}
}

// onEdge runs one step on the edge of a running gateway, which nobody else works
// on meanwhile.
func (m *Manager) onEdge(ctx context.Context, name gateway.Name, op Op, sink Sink, do func(container string, out *reporter) (bool, error)) error {
	unlock, err := m.lock(ctx, name, sink)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.runningContainer(ctx, name)
	if err != nil {
		return err
	}
	out, began := &reporter{sink: sink}, time.Now()
	out.event(Event{Kind: StepStarted, Step: string(op)})
	changed, err := do(c.ID, out)
	if err != nil {
		if ctx.Err() != nil {
			err = stepError(ctx, err)
		}
		out.event(Event{Kind: StepFailed, Step: string(op), Message: err.Error(), Elapsed: time.Since(began)})
		return err
	}
	out.done(op, changed, time.Since(began))
	return nil
}

// reset runs the script and follows what it began. What the edge says went wrong
// is returned as why.
func (m *Manager) reset(ctx context.Context, name gateway.Name, container string, limit time.Duration, env []string, progress func(phase string)) (why, err error) {
	if why, err := m.edgeScript(ctx, name, container, resetScript, env, nil); why != nil || err != nil {
		return why, err
	}
	done, err := m.edgeCommand(ctx, name, container, edgeExec{
		argv: []string{appGateway, "reset", "follow", "--timeout", limit.String()},
		lines: func(line []byte) {
			var state struct {
				Phase string `json:"phase"`
			}
			if json.Unmarshal(line, &state) == nil && state.Phase != "" {
				progress(state.Phase)
			}
		},
	})
	if err != nil || done.code == 0 {
		return nil, err
	}
	return done.complaint(), nil
}

// restoreEdge brings back an edge that does not come back by itself. A gateway
// whose API answers is of use without it, so this is no reason to fail.
func (r *run) restoreEdge(ctx context.Context) (bool, error) {
	within, cancel := context.WithTimeout(ctx, restoreTime+answerTime)
	defer cancel()
	why, err := r.reset(within, r.plan.Name, r.container, restoreTime, []string{keepEpoch}, func(phase string) { r.out.progress(RestoreEdge, phase) })
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err := errors.Join(err, why); err != nil {
		r.out.warn("the edge of the gateway could not be restored: " + err.Error())
		return false, nil
	}
	return true, nil
}

// edge is how the node says the edge is; nil when it says nothing of it.
func (o Observed) edge() *nodeapi.Edge {
	if o.Edge == nil && o.Node != nil {
		return o.Node.Edge
	}
	return o.Edge
}

// edgeCause says why the edge of a gateway that runs has to be restored; empty
// when it has not.
func (o Observed) edgeCause() string {
	if e := o.edge(); e != nil && e.State == nodeapi.EdgeFailed {
		return e.Message
	}
	return ""
}
