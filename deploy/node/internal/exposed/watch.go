package exposed

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

// watchRoutes returns what answers the routes at any time, once they are known,
// and calls changed after each change of them. An error is one of ctx. Before
// the chart is there, the API does not know the resource, and an informer would
// ask ever less often.
func (e *Exposer) watchRoutes(ctx context.Context, changed func()) (func() []any, error) {
	resource := v1.GroupVersion().WithResource("routes")
	for {
		_, err := e.client.Resource(resource).Namespace(e.namespace).List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil {
			break
		}
		if !pause(ctx, retryEvery) {
			return nil, ctx.Err()
		}
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(e.client, resource, e.namespace, 0, cache.Indexers{}, nil).Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, ctx.Err()
	}
	return informer.GetStore().List, nil
}

// watchDirectory calls changed after every change in a directory, until ctx
// ends. Where it cannot be watched it is looked at every now and then.
func watchDirectory(ctx context.Context, path string, changed func()) {
	for said := false; ; {
		err := followDirectory(ctx, path, changed)
		if err != nil && !said {
			slog.Warn("addresses of sandboxes are looked at every now and then", "every", retryEvery.String(), "error", err)
			said = true
		}
		changed() // something may have happened unseen
		if !pause(ctx, retryEvery) {
			return
		}
	}
}

// followDirectory returns nil when ctx ends, or why it cannot follow.
func followDirectory(ctx context.Context, path string, changed func()) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(path); err != nil {
		return err
	}
	changed() // what happened before
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-watcher.Events:
			if !ok || event.Name == path && event.Has(fsnotify.Remove) {
				return errors.New("the directory is gone")
			}
			changed()
		case <-watcher.Errors: //nolint:errcheck // an overflow: what matters is that something changed
			changed()
		}
	}
}

// pause reports whether the time passed before ctx was done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
