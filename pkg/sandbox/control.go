package sandbox

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	apilabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	workers   = 10
	stopGrace = time.Second
	firstWait = 5 * time.Millisecond // after an error, doubling
	lastWait  = 30 * time.Second
)

// control runs one controller until ctx is done or it fails.
func (m *Manager) control(ctx context.Context) error {
	ours := cache.ByObject{Label: apilabels.SelectorFromSet(apilabels.Set{sandboxapi.LabelManagedBy: sandboxapi.ManagedBy})}
	mgr, err := manager.New(m.cfg.REST, manager.Options{
		Scheme:         m.client.Scheme(),
		MapperProvider: func(*rest.Config, *http.Client) (apimeta.RESTMapper, error) { return newMapper(), nil },
		Logger:         crlog.Log,
		Metrics:        server.Options{BindAddress: "0"},
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{m.cfg.Namespace: {}},
			DefaultTransform:  cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}: ours, &corev1.PersistentVolumeClaim{}: ours, &corev1.Secret{}: ours,
			},
		},
		GracefulShutdownTimeout: new(stopGrace),
		Controller:              config.Controller{SkipNameValidation: new(true)}, // it may be made again
	})
	if err != nil {
		return err
	}
	err = builder.ControllerManagedBy(mgr).
		For(&v1.Sandbox{}).
		Owns(&corev1.Pod{}).
		Owns(&corev1.PersistentVolumeClaim{}).
		Owns(&corev1.Secret{}).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			m.setQueue(q)
			return nil
		})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstWait, lastWait),
		}).
		Complete(&reconciler{
			cfg: m.cfg, cached: mgr.GetCache(), client: m.client, connections: m.agents, now: time.Now,
		})
	if err != nil {
		return err
	}
	defer m.setQueue(nil)
	if err := mgr.Add(&orphans{namespace: m.cfg.Namespace, cached: mgr.GetCache(), client: m.client, now: time.Now, log: m.log}); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return scheme, v1.AddToScheme(scheme)
}

// newMapper knows the kinds we use, and lists of them, so that none has to be
// discovered.
func newMapper() apimeta.RESTMapper {
	mapper := apimeta.NewDefaultRESTMapper(nil)
	add := func(group schema.GroupVersion, kind, resource string, scope apimeta.RESTScope) {
		for _, k := range []string{kind, kind + "List"} {
			mapper.AddSpecific(group.WithKind(k), group.WithResource(resource), group.WithResource(resource), scope)
		}
	}
	add(v1.GroupVersion(), "Sandbox", "sandboxes", apimeta.RESTScopeNamespace)
	add(v1.GroupVersion(), "Route", "routes", apimeta.RESTScopeNamespace)
	core := corev1.SchemeGroupVersion
	add(core, "Pod", "pods", apimeta.RESTScopeNamespace)
	add(core, "PersistentVolumeClaim", "persistentvolumeclaims", apimeta.RESTScopeNamespace)
	add(core, "Secret", "secrets", apimeta.RESTScopeNamespace)
	add(core, "Event", "events", apimeta.RESTScopeNamespace)
	add(core, "Node", "nodes", apimeta.RESTScopeRoot)
	return mapper
}

// libraryLogs sends what the libraries have to say, from warnings on, to our log.
func libraryLogs(log *slog.Logger) {
	handler := warnings{log.Handler()}
	crlog.SetLogger(logr.FromSlogHandler(handler))
	klog.SetSlogLogger(slog.New(handler))
}

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
