package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/translate"
)

// watchAgain is the pause before something is asked again that ended early: a
// watch of the API, or the logs of a sandbox.
const watchAgain = 500 * time.Millisecond

// WatchSandbox sends the sandbox as it is, the tails of its logs and events,
// and then what is to be followed. The stream ends when the sandbox does, with
// it in phase DELETING as the last message, or when there is nothing to follow.
func (a *api) WatchSandbox(request *openshellv1.WatchSandboxRequest, stream openshellv1.OpenShell_WatchSandboxServer) error {
	logs, err := logQuery(request.GetLogSinceMs(), "log_sources", request.GetLogSources(), "log_min_level", request.GetLogMinLevel())
	if err != nil {
		return err
	}
	finding, found := bounded(stream.Context(), findTimeout)
	defer found()
	s, err := a.byID(finding, "id", request.GetId())
	if err != nil {
		return err
	}
	w := &watcher{
		backend: a.backend, connected: &a.connected, log: a.log, namespace: a.namespace, name: s.Name, id: s.Spec.ID,
		request: request, logs: logs, stream: stream,
	}
	return w.run(stream.Context(), s)
}

// watcher is one stream.
type watcher struct {
	backend             *backend
	connected           *connected
	log                 *slog.Logger
	namespace, name, id string
	request             *openshellv1.WatchSandboxRequest
	logs                sandboxapi.LogQuery

	mu     sync.Mutex // what is followed comes from several sides
	stream openshellv1.OpenShell_WatchSandboxServer

	sent *datamodelv1.Sandbox // the last
}

func (w *watcher) run(ctx context.Context, s *v1.Sandbox) error {
	done, err := w.report(s, true)
	if done || err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	failed := make(chan error, 2)
	for _, part := range []struct {
		wanted bool
		run    func(context.Context) error
	}{
		{w.request.GetFollowLogs() || w.request.GetLogTailLines() > 0, w.followLogs},
		{w.request.GetFollowEvents() || w.request.GetEventTail() > 0, w.followEvents},
	} {
		if part.wanted {
			others.Go(func() {
				if err := safely(w.log, func() error { return part.run(ctx) }); err != nil {
					failed <- err
					cancel()
				}
			})
		}
	}
	if !w.request.GetFollowStatus() && !w.request.GetFollowLogs() && !w.request.GetFollowEvents() {
		others.Wait()
	} else {
		err = w.followStatus(ctx, s)
	}
	select {
	case other := <-failed:
		return other
	default:
		return err
	}
}

func (w *watcher) send(event *openshellv1.SandboxStreamEvent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream.Send(event)
}

func (w *watcher) warn(format string, args ...any) error {
	return w.send(&openshellv1.SandboxStreamEvent{Payload: &openshellv1.SandboxStreamEvent_Warning{
		Warning: &openshellv1.SandboxStreamWarning{Message: fmt.Sprintf(format, args...)},
	}})
}

// followStatus returns when the sandbox is gone, or has come to the end that
// the client waits for.
func (w *watcher) followStatus(ctx context.Context, s *v1.Sandbox) error {
	for {
		done, err := w.watchFrom(ctx, s)
		if done || err != nil {
			return err
		}
		if !sleep(ctx, watchAgain) {
			return ctx.Err()
		}
		// Whatever the watch missed is in the sandbox as it is now.
		now, err := w.read(ctx)
		switch {
		case absent(err) || err == nil && now.Spec.ID != w.id:
			return w.gone(s)
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			w.log.Info("watched sandbox cannot be read", "sandbox", w.name, "error", err)
			continue
		}
		s = now
		if done, err := w.report(s, false); done || err != nil {
			return err
		}
	}
}

func (w *watcher) read(ctx context.Context) (*v1.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	c, err := w.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	var s v1.Sandbox
	return &s, c.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, &s)
}

// watchFrom reports changes since s. It returns without done or an error when
// the API has ended the watch or cannot be asked for one.
func (w *watcher) watchFrom(ctx context.Context, s *v1.Sandbox) (done bool, err error) {
	c, err := w.backend.get(ctx)
	if err != nil {
		return false, err
	}
	changes, err := c.Client().Watch(ctx, &v1.SandboxList{}, client.InNamespace(w.namespace),
		client.MatchingFields{metav1.ObjectNameField: w.name}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: s.ResourceVersion}})
	if err != nil {
		return false, w.worthKnowing(ctx, err)
	}
	defer changes.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case change, ok := <-changes.ResultChan():
			if !ok || change.Type == watch.Error {
				return false, nil
			}
			now, ok := change.Object.(*v1.Sandbox)
			if !ok || now.Spec.ID != w.id {
				continue
			}
			if change.Type == watch.Deleted {
				return true, w.gone(now)
			}
			if done, err := w.report(now, false); done || err != nil {
				return done, err
			}
		}
	}
}

// worthKnowing lets a watch be tried again unless its client has gone.
func (w *watcher) worthKnowing(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !unanswered(err) && !apierrors.IsResourceExpired(err) && !errors.Is(err, context.DeadlineExceeded) {
		w.log.Warn("sandbox cannot be watched", "sandbox", w.name, "error", err)
	}
	return nil
}

// report sends a sandbox if it differs from what was sent before, and says
// whether it is what the client waits for.
func (w *watcher) report(s *v1.Sandbox, always bool) (done bool, err error) {
	now := translate.Sandbox(w.backend.present(s))
	if (always || w.request.GetFollowStatus()) && !proto.Equal(now, w.sent) {
		w.sent = now
		err = w.sendSandbox(now)
	}
	terminal := now.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_READY || now.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR
	return terminal && w.request.GetStopOnTerminal(), err
}

func (w *watcher) gone(s *v1.Sandbox) error {
	last := translate.Sandbox(s)
	last.Phase = datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING
	return w.sendSandbox(last)
}

func (w *watcher) sendSandbox(s *datamodelv1.Sandbox) error {
	return w.send(&openshellv1.SandboxStreamEvent{Payload: &openshellv1.SandboxStreamEvent_Sandbox{Sandbox: s}})
}
