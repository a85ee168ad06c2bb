package server

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
)

// followEvents sends the last events about the sandbox's pod, claim and Secret,
// which carry its id as their name, and then, if wanted, what comes.
func (w *watcher) followEvents(ctx context.Context) error {
	most := int(w.request.GetEventTail())
	if most == 0 {
		most = defaultTail
	}
	seen := map[types.UID]string{} // event to the version that was sent
	for warned := false; ; {
		list, err := w.listEvents(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // the reason is not here
		case err != nil && !warned:
			warned = true
			w.log.Warn("events of a sandbox cannot be read", "sandbox", w.name, "error", err)
			if err := w.warn("the platform's events cannot be read at the moment"); err != nil {
				return err
			}
		case err == nil:
			for _, event := range list.Items[max(0, len(list.Items)-most):] {
				if err := w.sendEvent(&event, seen); err != nil {
					return err
				}
			}
			most = math.MaxInt // what was missed in between comes all
			if err := w.watchEvents(ctx, list.ResourceVersion, seen); err != nil {
				return err
			}
		}
		if !w.request.GetFollowEvents() || !sleep(ctx, watchAgain) {
			return nil
		}
	}
}

func (w *watcher) about() []client.ListOption {
	return []client.ListOption{client.InNamespace(w.namespace), client.MatchingFields{"involvedObject.name": w.id}}
}

// listEvents answers them in the order of time.
func (w *watcher) listEvents(ctx context.Context) (*corev1.EventList, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	c, err := w.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	var list corev1.EventList
	if err := c.List(ctx, &list, w.about()...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return eventTime(&a).Compare(eventTime(&b)) })
	return &list, nil
}

// watchEvents returns nil when the API ends the watch, or nothing is followed.
func (w *watcher) watchEvents(ctx context.Context, from string, seen map[types.UID]string) error {
	if !w.request.GetFollowEvents() {
		return nil
	}
	c, err := w.backend.get(ctx)
	if err != nil {
		return nil // the reason is not here
	}
	changes, err := c.Client().Watch(ctx, &corev1.EventList{}, append(w.about(), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from}})...)
	if err != nil {
		return nil // listing them says why
	}
	defer changes.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case change, ok := <-changes.ResultChan():
			if !ok || change.Type == watch.Error {
				return nil
			}
			event, ok := change.Object.(*corev1.Event)
			if !ok || change.Type == watch.Deleted || event.InvolvedObject.Name != w.id {
				continue
			}
			if err := w.sendEvent(event, seen); err != nil {
				return err
			}
		}
	}
}

// sendEvent sends one that was not sent before in this version.
func (w *watcher) sendEvent(event *corev1.Event, seen map[types.UID]string) error {
	if seen[event.UID] == event.ResourceVersion && event.UID != "" {
		return nil
	}
	seen[event.UID] = event.ResourceVersion
	return w.send(&openshellv1.SandboxStreamEvent{Payload: &openshellv1.SandboxStreamEvent_Event{Event: platformEvent(event)}})
}

func platformEvent(event *corev1.Event) *openshellv1.PlatformEvent {
	source := event.Source.Component
	if source == "" {
		source = event.ReportingController
	}
	return &openshellv1.PlatformEvent{
		TimestampMs: eventTime(event).UnixMilli(), Source: "kubernetes", Type: event.Type, Reason: event.Reason, Message: event.Message,
		Metadata: map[string]string{
			"kind": event.InvolvedObject.Kind, "name": event.InvolvedObject.Name, "component": source,
			"count": strconv.Itoa(int(max(event.Count, 1))),
		},
	}
}

// eventTime is when it happened last; the API has several fields for that.
func eventTime(event *corev1.Event) time.Time {
	if event.Series != nil && !event.Series.LastObservedTime.IsZero() {
		return event.Series.LastObservedTime.Time
	}
	for _, t := range []time.Time{event.LastTimestamp.Time, event.EventTime.Time, event.FirstTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return event.CreationTimestamp.Time
}
