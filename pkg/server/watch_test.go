package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// watching is a stream whose events the test takes one by one.
type watching struct {
	t      *testing.T
	stream openshellv1.OpenShell_WatchSandboxClient
}

func startWatch(t *testing.T, c openshellv1.OpenShellClient, request *openshellv1.WatchSandboxRequest) watching {
	t.Helper()
	stream, err := c.WatchSandbox(deadlined(t, 20*time.Second), request)
	must(t, err)
	return watching{t, stream}
}

// next is an event in short: "READY", "log x", "event x", "warning x"; "end", or
// the code of an error.
func (w watching) next() string {
	w.t.Helper()
	event, err := w.stream.Recv()
	switch {
	case errors.Is(err, io.EOF):
		return "end"
	case err != nil:
		return status.Code(err).String()
	case event.GetSandbox() != nil:
		return strings.TrimPrefix(event.GetSandbox().GetPhase().String(), "SANDBOX_PHASE_")
	case event.GetLog() != nil:
		return "log " + event.GetLog().GetMessage()
	case event.GetEvent() != nil:
		return "event " + event.GetEvent().GetReason()
	}
	return "warning " + event.GetWarning().GetMessage()
}

func (w watching) want(events ...string) {
	w.t.Helper()
	for _, want := range events {
		if got := w.next(); got != want {
			w.t.Fatalf("next event is %q, want %q", got, want)
		}
	}
}

func TestWatchFollowsTheStatusToTheEnd(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseProvisioning)
	w.add(t, "other", v1.PhaseReady)
	watches := w.watches()
	stream := startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowStatus: true})
	stream.want("PROVISIONING")
	<-watches
	w.setPhase(t, s, v1.PhaseReady)
	stream.want("READY")
	must(t, w.Delete(t.Context(), s))
	stream.want("DELETING")
	must(t, w.Patch(t.Context(), s, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	stream.want("DELETING", "end")
}

// watches tells of every watch that the server has begun: the fake API does not
// send what changed before.
func (w *world) watches() <-chan struct{} {
	begun := make(chan struct{}, 100)
	w.hook(interceptor.Funcs{Watch: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
		changes, err := c.Watch(ctx, l, opts...)
		begun <- struct{}{}
		return changes, err
	}})
	return begun
}

func TestWatchStopsAtWhatIsTerminal(t *testing.T) {
	for _, phase := range []v1.Phase{v1.PhaseReady, v1.PhaseError} {
		w, _, c := startWorld(t, Config{})
		s := w.add(t, "web", v1.PhaseProvisioning)
		watches := w.watches()
		stream := startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowStatus: true, StopOnTerminal: true})
		stream.want("PROVISIONING")
		<-watches
		w.setPhase(t, s, phase)
		stream.want(strings.ToUpper(string(phase)), "end")
		startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowStatus: true, StopOnTerminal: true}).
			want(strings.ToUpper(string(phase)), "end")
	}
}

func TestWatchWithNothingToFollowEnds(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	addEvents(t, w, s, "Scheduled", "Pulled")
	w.logs = func(_ context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
		line(sandboxapi.LogLine{Message: fmt.Sprintf("%d lines, follow %v", q.Lines, q.Follow)})
		return nil
	}
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID}).want("READY", "end")
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, LogTailLines: 3}).want("READY", "log 3 lines, follow false", "end")
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, EventTail: 1}).want("READY", "event Pulled", "end")
}

func addEvents(t *testing.T, w *world, s *v1.Sandbox, reasons ...string) {
	t.Helper()
	for i, reason := range reasons {
		must(t, w.Create(t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: "event-" + reason, Namespace: s.Namespace},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: s.Spec.ID}, Reason: reason, Type: "Normal",
			LastTimestamp: metav1.NewTime(time.Unix(int64(1000+i), 0)),
		}))
	}
}

func TestWatchFollowsEvents(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s, other := w.add(t, "web", v1.PhaseReady), w.add(t, "other", v1.PhaseReady)
	addEvents(t, w, s, "Scheduled")
	watches := w.watches()
	stream := startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowEvents: true})
	stream.want("READY", "event Scheduled")
	<-watches // of the sandbox, and
	<-watches // of its events
	addEvents(t, w, other, "NotOurs")
	addEvents(t, w, s, "Pulled")
	stream.want("event Pulled")
}

func TestWatchWarnsWhileThereAreNoLogs(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseProvisioning)
	w.unreachable(sandbox.ErrNotReady)
	lost, rounds := make(chan struct{}), 0
	w.logs = func(ctx context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
		rounds++
		line(sandboxapi.LogLine{At: time.Unix(int64(rounds), 0), Message: fmt.Sprintf("lines %d since %d", q.Lines, q.Since.Unix())})
		select {
		case <-lost:
			return errors.New("connection lost")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stream := startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowLogs: true, LogTailLines: 9})
	stream.want("PROVISIONING", "warning the logs can be read while the sandbox runs: it is not ready")
	w.unreachable(nil)
	stream.want("log lines 9 since -62135596800")
	lost <- struct{}{}
	// On from the last line, without those that came already.
	stream.want("warning the logs cannot be read at the moment", "log lines 0 since 1")
}

func TestWatchSurvivesTheEndOfTheAPIsWatch(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseProvisioning)
	watches := make(chan *watch.FakeWatcher, 10)
	w.hook(interceptor.Funcs{Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
		f := watch.NewFake()
		watches <- f
		return f, nil
	}})
	stream := startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowStatus: true})
	stream.want("PROVISIONING")
	first := <-watches
	w.setPhase(t, s, v1.PhaseReady) // nobody tells
	first.Stop()
	stream.want("READY")
	second := <-watches
	second.Error(&metav1.Status{Code: 410, Reason: metav1.StatusReasonExpired})
	must(t, w.Delete(t.Context(), s))
	must(t, w.Patch(t.Context(), s, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	stream.want("DELETING", "end")
}

func TestWatchOfASandboxThatWasReplacedEnds(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	watches := make(chan *watch.FakeWatcher, 10)
	w.hook(interceptor.Funcs{Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
		f := watch.NewFake()
		watches <- f
		return f, nil
	}})
	w.unreachable(sandbox.ErrGone)
	stream := startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: s.Spec.ID, FollowLogs: true})
	stream.want("READY")
	f := <-watches
	must(t, w.Delete(t.Context(), s))
	must(t, w.Patch(t.Context(), s, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	again := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: s.Namespace}, Spec: v1.SandboxSpec{ID: "another", Image: "i"}}
	must(t, w.Create(t.Context(), again))
	f.Stop()
	for event := ""; event != "end"; {
		if event = stream.next(); event != "DELETING" && event != "end" && !strings.HasPrefix(event, "warning") && !strings.HasPrefix(event, "log") {
			t.Fatalf("event %q", event)
		}
	}
}

func TestWatchRefusals(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: "other"}).want(codes.NotFound.String())
	startWatch(t, c, &openshellv1.WatchSandboxRequest{}).want(codes.InvalidArgument.String())
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: "id-of-web", LogMinLevel: "x"}).want(codes.InvalidArgument.String())
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: "id-of-web", LogSources: []string{"x"}}).want(codes.InvalidArgument.String())
}

func TestPanicWhileWatchingIsAnErrorOfOneStream(t *testing.T) {
	w, s, c := startWorld(t, Config{})
	box := w.add(t, "web", v1.PhaseReady)
	w.logs = func(context.Context, sandboxapi.LogQuery, func(sandboxapi.LogLine)) error { panic("in the log") }
	startWatch(t, c, &openshellv1.WatchSandboxRequest{Id: box.Spec.ID, FollowLogs: true}).want("READY", codes.Internal.String())
	if !strings.Contains(s.log.String(), "in the log") {
		t.Error("the log lacks the panic")
	}
}
