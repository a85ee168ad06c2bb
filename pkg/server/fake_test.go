package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMWTHBgDv21+xcsWzncLbPsk6NbqhgKO40OT2i8ZZSpq"

// world is a Kubernetes API without controllers, and supervisors that do as the
// test says.
type world struct {
	client.WithWatch // what the test does itself

	mu    sync.Mutex
	hooks interceptor.Funcs // around what the server does
	exec  func(context.Context, sandboxapi.Exec, sandboxssh.Streams) (int, error)
	logs  func(context.Context, sandboxapi.LogQuery, func(sandboxapi.LogLine)) error
	reach error // of Dial and Connect
	dial  func() net.Conn
	back  bool // the controller has not looked at anything yet
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, corev1.AddToScheme(scheme))
	must(t, v1.AddToScheme(scheme))
	return &world{WithWatch: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1.Sandbox{}).
		WithIndex(&corev1.Event{}, "involvedObject.name", func(o client.Object) []string { return []string{o.(*corev1.Event).InvolvedObject.Name} }).
		Build()}
}

// hook changes how the API behaves towards the server.
func (w *world) hook(hooks interceptor.Funcs) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks = hooks
}

// Client implements Controller.
func (w *world) Client() client.WithWatch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return interceptor.NewClient(w.WithWatch, w.hooks)
}

// Run implements Controller.
func (w *world) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Knows implements Controller.
func (w *world) Knows(string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.back
}

// Dial implements Controller.
func (w *world) Dial(context.Context, string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reach != nil {
		return nil, w.reach
	}
	return w.dial(), nil
}

// Connect implements Controller.
func (w *world) Connect(context.Context, string) (Agent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reach != nil {
		return nil, w.reach
	}
	return agent{w}, nil
}

func (w *world) unreachable(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reach = err
}

type agent struct{ *world }

func (a agent) Exec(ctx context.Context, e sandboxapi.Exec, s sandboxssh.Streams) (int, error) {
	return a.exec(ctx, e, s)
}

func (a agent) Logs(ctx context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
	return a.logs(ctx, q, line)
}

func (agent) Close() error { return nil }

// startWorld runs a server, in plain, over a world.
func startWorld(t *testing.T, cfg Config) (*world, running, openshellv1.OpenShellClient) {
	t.Helper()
	w := newWorld(t)
	cfg.DisableTLS = true
	if cfg.NewController == nil {
		cfg.NewController = func(*slog.Logger) (Controller, error) { return w, nil }
	}
	s := start(t, cfg)
	return w, s, openshellv1.NewOpenShellClient(dial(t, s, nil))
}

// add puts a sandbox into the world, as it is some time after it was made.
func (w *world) add(t *testing.T, name string, phase v1.Phase) *v1.Sandbox {
	t.Helper()
	s, err := sandbox.Create(t.Context(), w.WithWatch, sandbox.NewSandbox{
		Name: name, Spec: v1.SandboxSpec{ID: "id-of-" + name, Image: "debian:12"}, Environment: map[string]string{"SECRET": "of " + name},
	})
	must(t, err)
	w.setPhase(t, s, phase)
	return s
}

func (w *world) setPhase(t *testing.T, s *v1.Sandbox, phase v1.Phase) {
	t.Helper()
	must(t, w.Get(t.Context(), client.ObjectKeyFromObject(s), s))
	s.Status.Phase, s.Status.HostKey = phase, hostKey
	s.Status.Conditions = []metav1.Condition{{
		Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Test", Message: "the image is being pulled", LastTransitionTime: metav1.Now(),
	}}
	if phase == v1.PhaseReady {
		s.Status.Conditions[0].Status = metav1.ConditionTrue
	}
	must(t, w.Status().Update(t.Context(), s))
}

// count answers how many sandboxes and Secrets there are.
func (w *world) count(t *testing.T) (sandboxes, secrets int) {
	t.Helper()
	var of v1.SandboxList
	var with corev1.SecretList
	must(t, w.List(t.Context(), &of))
	must(t, w.List(t.Context(), &with))
	return len(of.Items), len(with.Items)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// deadlined is for calls that are to fail soon.
func deadlined(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	t.Cleanup(cancel)
	return ctx
}

// longEnough is when a test that hangs fails.
const longEnough = 20 * time.Second

var errDown = errors.New("the API is broken")
