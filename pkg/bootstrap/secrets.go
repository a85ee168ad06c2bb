package bootstrap

import (
	"context"
	"errors"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

// secretsTime is for what needs the Kubernetes API, once nothing else is being
// waited for.
const secretsTime = 2 * time.Minute

// rolloutTime is for a restart of the server, when --idle-timeout is less.
const rolloutTime = 5 * time.Minute

// reconcileSecrets tries again for as long as the API gives no answer: on a
// slow host it may be restarting, or have no time. While the node is waited
// for, that wait decides when it was enough.
func (r *run) reconcileSecrets(ctx context.Context) (changed bool, err error) {
	select {
	case <-r.apiUp:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	var enough <-chan time.Time
	waited := r.waited
	for pause, first := minRetry, true; ; pause, first = min(2*pause, maxRetry), false {
		did, err := r.reconcileOnce(ctx)
		changed = changed || did
		if !errors.Is(err, ErrNoAnswer) {
			return changed, err
		}
		if first {
			r.out.progress(ReconcileSecrets, "the Kubernetes API does not answer: trying again")
		}
		select {
		case <-ctx.Done():
			return changed, ctx.Err()
		case <-enough:
			return changed, err
		case <-waited:
			waited, enough = nil, time.After(secretsTime)
		case <-time.After(pause):
		}
	}
}

func (r *run) reconcileOnce(ctx context.Context) (changed bool, err error) {
	bound, cancel := context.WithTimeout(ctx, secretsTime)
	defer cancel()
	session := r.plan.session
	r.plan.session = nil
	if session == nil {
		if session, err = r.Cluster.Open(bound, r.container); err != nil {
			return false, clusterError(ctx, err)
		}
	}
	cluster, err := r.Cluster.Connect(ctx, session)
	if err != nil {
		return false, clusterError(ctx, err)
	}
	defer cluster.Close()
	result, err := cluster.Reconcile(bound, ClusterWant{NodeName: r.plan.Name.Hostname(), Hosts: certificateHosts(r.settings)})
	for _, what := range result.Changed {
		r.out.progress(ReconcileSecrets, what)
	}
	for _, w := range result.Warnings {
		r.out.warn(w)
	}
	r.rolled = r.rolled || result.Rolled
	changed = len(result.Changed) > 0 || result.Rolled
	if err != nil {
		return changed, clusterError(ctx, err)
	}
	r.bundle = result.Bundle
	if result.Rolled {
		err = r.whileRolling(ctx, cluster.AwaitRollout)
	}
	return changed, err
}

// whileRolling waits for the server that reads the new Secrets. Slow is not
// failed: when it takes too long, everything is left running.
func (r *run) whileRolling(ctx context.Context, wait func(context.Context) error) error {
	limit := max(rolloutTime, r.opts.IdleTimeout)
	if r.opts.Timeout > 0 {
		limit = min(limit, time.Until(r.began.Add(r.opts.Timeout)))
	}
	bound, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := wait(bound)
	if ctx.Err() == nil && bound.Err() != nil {
		return fault.New(fault.IdleTimeout, fault.ExitTimeout,
			"the server of gateway %s, restarted to read new Secrets, was not ready within %s; it was left running", r.plan.Name, limit.Round(time.Second))
	}
	if err != nil {
		return clusterError(ctx, err)
	}
	return nil
}

// clusterError is an error of the Kubernetes API, unless Docker was at fault or
// the run ends anyway.
func clusterError(ctx context.Context, err error) error {
	var d *docker.Error
	var f *fault.Error
	if errors.As(err, &d) || errors.As(err, &f) || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return fault.New(fault.ClusterError, fault.ExitFailure, "the gateway's Secrets could not be verified").Because(err)
}
