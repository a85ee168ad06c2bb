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

	// candidateKey is a public key by which the gateway is to accept builds. The
	// script puts it in the place of the one before when such a build answers.
	candidateKey     = edge.StateDir + "/build.pub.candidate"
	candidateKeyMode = 0o600
	candidateKeyName = "GATEWAY_BUILD_KEY"

	// restoreTime is for a repair in passing: who starts a gateway waits for its
	// API, not for this.
	restoreTime = 20 * time.Second
	// resetTime is for a reset that was asked for.
	resetTime = time.Minute
)

// ResetEdge implements Edges.
func (m *Manager) ResetEdge(ctx context.Context, name gateway.Name, sink Sink) error {
	return m.onEdge(ctx, name, ResetEdge, sink, func(container string, out *reporter) (bool, error) {
		begin := func() (why, err error) {
			return m.edgeScript(ctx, name, container, resetScript, nil, nil)
		}
		why, err := begin()
		if err == nil && alreadyRunning(why) && m.settles(ctx, container) {
			why, err = begin()
		}
		// One that has begun is not begun again, whatever becomes of it: it goes on
		// when nobody follows it any more.
		if err == nil && why == nil {
			why, err = m.followReset(ctx, name, container, resetTime, func(phase string) { out.progress(ResetEdge, phase) })
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
		reload := func() (why, err error) {
			env := opts.environment()
			if len(opts.Key) > 0 {
				if err := m.Engine.WriteFile(ctx, container, candidateKey, candidateKeyMode, opts.Key); err != nil {
					return nil, stepError(ctx, err)
				}
				env = append(env, candidateKeyName+"="+candidateKey)
			}
			return m.edgeScript(ctx, name, container, reloadScript, env, &done)
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

// alreadyRunning reports whether a script refused because a reset or a reload had
// not ended, which is how all of them say it.
func alreadyRunning(why error) bool {
	return why != nil && strings.HasSuffix(why.Error(), " is already running")
}

// followReset waits for the end of a reset that has begun. What the edge says went
// wrong is returned as why.
func (m *Manager) followReset(ctx context.Context, name gateway.Name, container string, limit time.Duration, progress func(phase string)) (why, err error) {
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
	why, err := r.edgeScript(within, r.plan.Name, r.container, resetScript, []string{keepEpoch}, nil)
	if err == nil && why == nil {
		why, err = r.followReset(within, r.plan.Name, r.container, restoreTime, func(phase string) { r.out.progress(RestoreEdge, phase) })
	}
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
