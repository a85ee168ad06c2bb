package sandbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func newSandbox() NewSandbox {
	return NewSandbox{
		Name: testName, Annotations: map[string]string{sandboxapi.AnnotationImage: "mine"},
		Spec: v1.SandboxSpec{ID: testID, Image: "debian:12"}, Environment: map[string]string{"A": "b"},
	}
}

func secretNames(t *testing.T, r *rig) []string {
	t.Helper()
	var list corev1.SecretList
	if err := r.client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
	}
	return names
}

func TestCreateGivesTheControllerWhatItNeeds(t *testing.T) {
	r := newRig(t)
	s, err := Create(t.Context(), r.client, newSandbox())
	if err != nil {
		t.Fatal(err)
	}
	if s.Labels[sandboxapi.LabelID] != testID || s.Annotations[sandboxapi.AnnotationImage] != "mine" || len(s.Finalizers) != 1 {
		t.Errorf("metadata = %+v", s.ObjectMeta)
	}
	r.pass()
	var secret corev1.Secret
	if !r.get(&secret) || string(secret.Data[sandboxapi.SecretEnviron]) != `{"A":"b"}` || len(secret.Data) != 3 || !metav1.IsControlledBy(&secret, r.sandbox()) {
		t.Errorf("Secret of %d keys, owners %v", len(secret.Data), secret.OwnerReferences)
	}
}

func TestCreateDrawsAnID(t *testing.T) {
	r := newRig(t)
	n := newSandbox()
	n.Spec.ID = ""
	s, err := Create(t.Context(), r.client, n)
	if err != nil || len(s.Spec.ID) != idLength || s.Spec.ID == NewID() {
		t.Errorf("id %q (%v)", s.Spec.ID, err)
	}
}

func TestCreateOfATakenNameLeavesNothing(t *testing.T) {
	taken := testSandbox()
	taken.Spec.ID = "another"
	r := newRig(t, taken)
	_, err := Create(t.Context(), r.client, newSandbox())
	if !apierrors.IsAlreadyExists(err) {
		t.Errorf("error = %v", err)
	}
	if names := secretNames(t, r); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// The sandbox was made, but its answer was lost: it is reported as made.
func TestCreateWhoseAnswerIsLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		made bool
	}{{"made", true}, {"not made", false}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			lost := errors.New("connection reset by peer")
			r.fail = func(verb string, o client.Object) error {
				if s, ok := o.(*v1.Sandbox); ok && verb == "create" {
					r.fail = nil
					if tt.made {
						if err := r.client.Create(t.Context(), s.DeepCopy()); err != nil {
							t.Fatal(err)
						}
					}
					return lost
				}
				return nil
			}
			s, err := Create(t.Context(), r.client, newSandbox())
			if tt.made && (err != nil || s.Spec.ID != testID || len(secretNames(t, r)) != 1) {
				t.Errorf("sandbox %v, error %v, Secrets %v", s, err, secretNames(t, r))
			}
			if !tt.made && (!errors.Is(err, lost) || len(secretNames(t, r)) != 0) {
				t.Errorf("error %v, Secrets %v", err, secretNames(t, r))
			}
		})
	}
}

// A request that was given up may be carried out all the same. The sandbox does
// not go on with an empty environment then.
func TestCreateThatIsCarriedOutTooLate(t *testing.T) {
	r := newRig(t)
	var late *v1.Sandbox
	r.fail = func(verb string, o client.Object) error {
		if s, ok := o.(*v1.Sandbox); ok && verb == "create" {
			late = s.DeepCopy()
			return context.DeadlineExceeded
		}
		return nil
	}
	if _, err := Create(t.Context(), r.client, newSandbox()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v", err)
	}
	r.fail = nil
	if err := r.client.Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.expect(v1.PhaseError, reasonSecret)
	if names := secretNames(t, r); len(names) > 0 || r.get(&corev1.Pod{}) {
		t.Errorf("Secrets %v, pod %v", names, r.get(&corev1.Pod{}))
	}
}

// Nobody waits for the answer any more: what was made is removed all the same.
func TestCreateCleansUpAfterItsContext(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.fail = func(verb string, o client.Object) error {
		if _, ok := o.(*v1.Sandbox); ok && verb == "create" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	if _, err := Create(ctx, r.client, newSandbox()); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if names := secretNames(t, r); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestCreateRefusesWhatNoNodeHas(t *testing.T) {
	for _, tt := range []struct{ cpu, memory, want string }{
		{"64", "1Gi", "cpu: 64 is more than the 2 of the node"},
		{"1", "1Ti", "memory: 1Ti is more than the 2000Mi of the node"},
		{"2", "2000Mi", ""},
	} {
		r := newRig(t)
		n := newSandbox()
		n.Spec.Resources.Limits = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(tt.cpu), corev1.ResourceMemory: resource.MustParse(tt.memory),
		}
		_, err := Create(t.Context(), r.client, n)
		if tt.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, ErrResources) || err.Error() != tt.want {
			t.Errorf("error = %v, want %s", err, tt.want)
		}
		if names := secretNames(t, r); len(names) > 0 {
			t.Errorf("left behind: %v", names)
		}
	}
}

func TestOrphansAreCollectedAfterAMinute(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	secret := func(name, id string, age time.Duration, mine bool) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: sandboxapi.Namespace, CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		if mine {
			s.Labels = labels(id)
		}
		return s
	}
	r := newRig(t, testSandbox(),
		secret(testID, testID, time.Hour, true),
		secret("session", testID, time.Hour, true),
		secret("fresh", "x1", 30*time.Second, true),
		secret("orphan", "x2", 61*time.Second, true),
		secret("foreign", "", time.Hour, false))
	o := &orphans{namespace: sandboxapi.Namespace, cached: r.client, client: r.client, now: func() time.Time { return now }, log: discard()}
	if err := o.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{testID, "foreign", "fresh", "session"}, secretNames(t, r)); diff != "" {
		t.Errorf("Secrets left (-want +got):\n%s", diff)
	}
}
