package app

import (
	"context"
	"time"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/project"
	"openshell.ai/openshell/pkg/edge/push"
	"openshell.ai/openshell/pkg/edge/script"
)

const (
	minRetry = 500 * time.Millisecond
	maxRetry = 30 * time.Second
)

// synchronize sends what earlier processes could not, and then announces a
// gateway that is free: once the control plane knows the new epoch, it takes
// nothing of an old one.
func (a *App) synchronize(ctx context.Context) {
	a.retry(ctx, "data that waits", a.deliverer.Once)
	select {
	case <-ctx.Done():
		return
	case <-a.applier.Applied(): // nobody is sent to a gateway before it works
	}
	if state, _ := a.machine.State(); state == edgeapi.StateStarting {
		a.retry(ctx, "ready", a.announce)
	}
}

func (a *App) announce(ctx context.Context) error {
	_, current := a.machine.State()
	err := a.client.Ready(ctx, push.Announcement{
		GatewayID: a.config.GatewayID, Epoch: current.Epoch, Build: a.parts.Build, Hostname: a.config.Hostname,
	})
	if err != nil {
		return err
	}
	a.log.Info("announced", "epoch", current.Epoch)
	a.machine.Announced()
	return nil
}

// retry repeats what the control plane does not take yet.
func (a *App) retry(ctx context.Context, what string, try func(context.Context) error) {
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		err := try(ctx)
		if ctx.Err() != nil {
			return
		}
		a.table.Report("control plane: "+what, err)
		if err == nil || !sleep(ctx, pause) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// resetWhenIdle gives a gateway that nobody uses back to the pool. The reset
// ends this process.
func (a *App) resetWhenIdle(ctx context.Context) {
	if a.machine.AwaitIdle(ctx) != nil {
		return
	}
	a.log.Info("nobody uses the gateway: it is reset", "after", a.config.Inactivity.String())
	a.table.Stop()
	pushing, cancel := context.WithTimeout(ctx, drainPushLimit)
	err := a.push(pushing)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		a.log.Warn("data is kept and sent after the reset", "error", err)
	}
	if err := project.Blank(a.config.ProjectConfig); err != nil {
		a.log.Error("the project's configuration is not blank", "error", err)
	}
	a.machine.Reset()
	a.retry(ctx, "reset", func(ctx context.Context) error {
		// It ends this process, and must not end of that itself.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetLimit)
		defer cancel()
		return a.parts.Run(ctx, script.ResetGateway, "")
	})
}

// push sends the organization's data. When it fails, the data is kept.
func (a *App) push(ctx context.Context) error {
	data, err := a.snapshot()
	if err != nil {
		return err
	}
	_, current := a.machine.State()
	version := a.machine.NextVersion()
	kept, err := a.deliverer.Push(ctx, push.Document{GatewayID: a.config.GatewayID, Epoch: current.Epoch, Version: version, Data: data})
	if kept {
		if err := a.machine.Pushed(version); err != nil {
			a.log.Error("the version of the data is not kept", "version", version, "error", err)
		}
	}
	return err
}

// lastPush is the end of an allocated gateway. One that drained has pushed.
func (a *App) lastPush() {
	if a.config.standAlone() || !a.machine.Drain() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastPushLimit)
	defer cancel()
	if err := a.push(ctx); err != nil {
		a.log.Warn("the last push is kept and sent at the next start", "error", err)
	}
}
