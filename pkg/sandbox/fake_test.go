package sandbox

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"openshell.ai/openshell/pkg/handshake"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	testID   = "abcdefghij0123456789"
	testName = "box"
)

func testMaster() handshake.Key { return handshake.Key(strings.Repeat("0123456789abcdef", 4)) }

func testConfig() Config {
	return Config{
		Namespace: sandboxapi.Namespace, Master: testMaster(), Supervisor: Supervisor{HostPath: sandboxapi.BinaryDir},
		Endpoint: "https://gateway:8080", StorageClass: "fast", StorageSize: resource.MustParse("3Gi"),
	}
}

func testSandbox() *v1.Sandbox {
	return &v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{
			Name: testName, Namespace: sandboxapi.Namespace, UID: "sandbox-uid",
			Labels: labels(testID), Finalizers: []string{finalizer},
		},
		Spec: v1.SandboxSpec{ID: testID, Image: "debian:12"},
	}
}

// testNode has two processors and 2000 MiB.
func testNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node"},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("2000Mi"),
		}},
	}
}

// connectionsFake remembers what it is asked for and says what it is told to.
type connectionsFake struct {
	watched map[string]target
	says    word
}

func (c *connectionsFake) watch(t target) { c.watched[t.id] = t }
func (c *connectionsFake) word(id string) word {
	if _, ok := c.watched[id]; !ok {
		return word{}
	}
	return c.says
}
func (c *connectionsFake) forget(id string) { delete(c.watched, id) }

// rig is a reconciler over a cluster in memory.
type rig struct {
	*reconciler
	t     *testing.T
	links *connectionsFake
	clock time.Time
	fail  func(verb string, o client.Object) error // nil: nothing fails
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, links: &connectionsFake{watched: map[string]target{}}, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	failing := func(verb string, o client.Object) error {
		if r.fail == nil {
			return nil
		}
		return r.fail(verb, o)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1.Sandbox{}).WithObjects(append(objects, testNode())...).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if err := failing("get", o); err != nil {
					return err
				}
				return c.Get(ctx, key, o, opts...)
			},
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if err := failing("create", o); err != nil {
					return err
				}
				if o.GetUID() == "" {
					o.SetUID(types.UID("uid-" + NewID()))
				}
				return c.Create(ctx, o, opts...)
			},
		}).Build()
	r.reconciler = &reconciler{cfg: testConfig(), cached: c, client: c, connections: r.links, now: func() time.Time { return r.clock }}
	return r
}

// pass reconciles the sandbox once.
func (r *rig) pass() reconcile.Result {
	r.t.Helper()
	result, err := r.Reconcile(r.t.Context(), request())
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func request() reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: sandboxapi.Namespace, Name: testName}}
}

// get reads an object of the sandbox; false: there is none.
func (r *rig) get(o client.Object) bool {
	r.t.Helper()
	name := testID
	if _, ok := o.(*v1.Sandbox); ok {
		name = testName
	}
	err := r.client.Get(r.t.Context(), client.ObjectKey{Namespace: sandboxapi.Namespace, Name: name}, o)
	if client.IgnoreNotFound(err) != nil {
		r.t.Fatal(err)
	}
	return err == nil
}

func (r *rig) sandbox() *v1.Sandbox {
	r.t.Helper()
	var s v1.Sandbox
	if !r.get(&s) {
		r.t.Fatal("the sandbox is gone")
	}
	return &s
}

func (r *rig) thePod() *corev1.Pod {
	r.t.Helper()
	var pod corev1.Pod
	if !r.get(&pod) {
		r.t.Fatal("there is no pod")
	}
	return &pod
}

// change edits the sandbox's object of the type of o.
func change[T client.Object](r *rig, o T, edit func(T)) {
	r.t.Helper()
	if !r.get(o) {
		r.t.Fatalf("there is no %T", o)
	}
	edit(o)
	if err := r.client.Update(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
}

// changeStatus edits the pod's status.
func (r *rig) changeStatus(edit func(*corev1.PodStatus)) {
	r.t.Helper()
	pod := r.thePod()
	edit(&pod.Status)
	if err := r.client.Status().Update(r.t.Context(), pod); err != nil {
		r.t.Fatal(err)
	}
}

// expect compares the sandbox's phase and the reason of its condition.
func (r *rig) expect(phase v1.Phase, reason string) {
	r.t.Helper()
	s := r.sandbox()
	got := ""
	for _, c := range s.Status.Conditions {
		if c.Type == v1.ConditionReady {
			got = c.Reason
		}
	}
	if s.Status.Phase != phase || got != reason {
		r.t.Errorf("phase %s, reason %s; want %s, %s (%v)", s.Status.Phase, got, phase, reason, s.Status.Conditions)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
