package bootstrap

import (
	"context"
	"errors"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

var _ Gateways = (*Manager)(nil)

// maxRounds bounds observing again: a removal to wait for, an image to load, a
// few address ranges that only the engine knows to be taken.
const maxRounds = 8

// Start implements Gateways: it leads to a healthy gateway from every state
// but those that need a decision of the user.
func (m *Manager) Start(ctx context.Context, opts StartOptions, sink Sink) (StartResult, error) {
	began := time.Now()
	result := StartResult{Name: opts.Name, Changed: []string{}}
	if err := opts.Validate(); err != nil {
		return result, err
	}
	unlock, err := m.lock(ctx, opts.Name, sink)
	if err != nil {
		return result, err
	}
	defer unlock()
	for range maxRounds {
		o, err := m.Observe(ctx, opts)
		if err != nil {
			return result, err
		}
		defer o.session.Close() // where the plan had no use for it
		plan, err := Decide(o, opts)
		if result.Was == "" {
			result.Was = o.Word()
		}
		if err != nil {
			return result, err
		}
		if opts.DryRun {
			result.planned(plan)
			return result, nil
		}
		done, err := m.Execute(ctx, plan, opts, sink)
		result.Changed = append(result.Changed, done.Changed...)
		result.Warnings = append(result.Warnings, done.Warnings...)
		result.unreadable = done.unreadable
		taken := (*chosenTaken)(nil)
		switch {
		case errors.As(err, &taken):
			opts.avoid.add(taken)
		case err != nil:
			return result, err
		case plan.Again:
			if plan.has(LoadImage) {
				opts.Image, opts.ImageArchive = done.Loaded, ""
			}
		default:
			result.finished(plan, done)
			result.Elapsed = time.Since(began)
			result.ElapsedMS = result.Elapsed.Milliseconds()
			return result, nil
		}
	}
	return result, fault.New(fault.Internal, fault.ExitFailure, "gateway %s does not settle after %d plans", opts.Name, maxRounds).
		Hint("see its state: `openshell gateway status %s`", opts.Name)
}

func (r *StartResult) planned(p Plan) {
	r.Word, r.Action, r.Plan, r.Warnings = p.Was, string(p.Action), p.Lines(), p.Warnings
	r.Notes = p.Notes
	if p.Settings.Name == "" {
		return // not decided before the image is there, or the container gone
	}
	r.Endpoint = endpointOf(publishedPorts(p.Settings))
	r.HTTPPort, r.VPNPort = p.Settings.HTTPPort, p.Settings.VPNPort
}

func (r *StartResult) finished(p Plan, done Outcome) {
	s := done.Settings
	r.Word, r.Action = Running, string(p.Action)
	if p.Action == ActionVerify {
		r.Action = "none"
		if len(r.Changed) > 0 {
			r.Action = "repair"
		}
	}
	r.Endpoint = endpointOf(publishedPorts(s))
	r.HTTPPort, r.VPNPort = s.HTTPPort, s.VPNPort
}

// lock takes the gateway's lock and says so when it has to wait.
func (m *Manager) lock(ctx context.Context, name gateway.Name, sink Sink) (func(), error) {
	unlock, err := m.Host.Lock(ctx, name, func(holder string) {
		if sink != nil {
			sink.Event(Event{At: time.Now(), Kind: Note, Message: "waiting for " + holder})
		}
	})
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, fault.New(fault.Interrupted, fault.ExitInterrupted, "interrupted").Because(err)
	}
	return unlock, err
}
