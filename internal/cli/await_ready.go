package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
)

// patience with a gateway that went away while it was waited for.
const patience = time.Minute

// awaitReady waits until a sandbox is ready. While it is not, detail is told
// what it is doing.
func awaitReady(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox, detail func(string)) (*datamodelv1.Sandbox, error) {
	var silentSince time.Time
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		now, err := watchReady(ctx, client, s, detail)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil && now != nil:
			return now, nil
		case errors.Is(err, gatewayclient.ErrUnreachable):
			if silentSince.IsZero() {
				silentSince = time.Now()
			}
			if time.Since(silentSince) > patience {
				return nil, err
			}
			detail("the gateway does not answer; trying again")
		case err != nil:
			return nil, err
		default:
			silentSince = time.Time{}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// watchReady is nil, nil when the gateway ended the watch before its time.
func watchReady(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox, detail func(string)) (*datamodelv1.Sandbox, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.WatchSandbox(ctx, &openshellv1.WatchSandboxRequest{Id: s.GetId(), FollowStatus: true, FollowEvents: true, StopOnTerminal: true})
	if err != nil {
		return nil, err
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
				err = nil
			}
			return nil, err
		}
		if now := event.GetSandbox(); now != nil {
			if done, err := judgeReady(now); done {
				return now, err
			}
			_, message := whyNotReady(now)
			detail(message)
		}
		if e := event.GetEvent(); e != nil {
			detail(e.GetMessage())
		}
		if w := event.GetWarning(); w != nil {
			detail(w.GetMessage())
		}
	}
}

// judgeReady reports whether a wait is over, and how it ended.
func judgeReady(s *datamodelv1.Sandbox) (done bool, err error) {
	reason, message := whyNotReady(s)
	switch s.GetPhase() {
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_READY:
		return true, nil
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR:
		id := fault.SandboxFailed
		if strings.Contains(reason, "Image") {
			id = fault.ImageUnusable
		}
		if message == "" {
			message = "the gateway does not say why"
		}
		return true, fault.New(id, fault.ExitFailure, "sandbox %s could not be brought up: %s", s.GetName(), message)
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING:
		return true, fault.New(fault.SandboxNotReady, fault.ExitNotRunning, "sandbox %s is being deleted", s.GetName())
	}
	return false, nil
}
