package k8s_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"openshell.ai/openshell/pkg/k8s"
)

var (
	secretResource = schema.GroupResource{Resource: "secrets"}
	notFound       = apierrors.NewNotFound(secretResource, "s")
	exists         = apierrors.NewAlreadyExists(secretResource, "s")
	conflict       = apierrors.NewConflict(secretResource, "s", errors.New("the object has been modified"))
	forbidden      = apierrors.NewForbidden(secretResource, "s", errors.New("no"))
	internal       = apierrors.NewInternalError(errors.New("etcd"))
)

func failing(client *fake.Clientset, verb, resource string, err error) {
	client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

// writes are the actions that change something, as "verb resource name".
func writes(client *fake.Clientset) []string {
	var out []string
	for _, a := range client.Actions() {
		name := ""
		switch a := a.(type) {
		case clienttesting.CreateAction:
			object, _ := a.GetObject().(metav1.Object)
			name = object.GetName()
		case clienttesting.PatchAction:
			name = a.GetName()
		case clienttesting.DeleteAction:
			name = a.GetName()
		default:
			continue
		}
		out = append(out, a.GetVerb()+" "+a.GetResource().Resource+" "+name)
	}
	return out
}

func TestSecretRoundTrip(t *testing.T) {
	ctx := context.Background()
	c := k8s.NewForClient(fake.NewClientset())
	if _, found, err := c.Secret(ctx, "openshell", "s"); found || err != nil {
		t.Fatalf("before: found %v, error %v", found, err)
	}
	err := c.CreateSecret(ctx, k8s.Secret{
		Namespace: "openshell", Name: "s", Type: k8s.TypeTLS,
		Data:        map[string][]byte{"tls.crt": []byte("c"), "tls.key": []byte("k")},
		Annotations: map[string]string{"theirs": "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Secret(ctx, "openshell", "s")
	if err != nil {
		t.Fatal(err)
	}
	s.Data, s.Annotations = map[string][]byte{"tls.crt": {0, 255}}, map[string]string{"ours": "2"}
	if err := c.UpdateSecret(ctx, s); err != nil {
		t.Fatal(err)
	}
	got, found, err := c.Secret(ctx, "openshell", "s")
	if !found || err != nil {
		t.Fatalf("found %v, error %v", found, err)
	}
	want := k8s.Secret{
		Namespace: "openshell", Name: "s", Type: k8s.TypeTLS,
		Data:        map[string][]byte{"tls.crt": {0, 255}, "tls.key": []byte("k")},
		Annotations: map[string]string{"theirs": "1", "ours": "2"},
		UID:         got.UID, ResourceVersion: got.ResourceVersion,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s.Data, s.Annotations = map[string][]byte{"more": []byte("m")}, nil
	if err := c.UpdateSecret(ctx, s); err != nil {
		t.Fatal(err)
	}
	got, _, err = c.Secret(ctx, "openshell", "s")
	if err != nil {
		t.Fatal(err)
	}
	want.Data["more"] = []byte("m")
	if diff := cmp.Diff(want.Annotations, got.Annotations) + cmp.Diff(want.Data, got.Data); diff != "" {
		t.Errorf("after a second update: %s", diff)
	}
	if err := c.DeleteSecret(ctx, got); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := c.Secret(ctx, "openshell", "s"); found {
		t.Error("still there after the deletion")
	}
}

func TestUpdateNamesTheVersionItWasReadAt(t *testing.T) {
	client := fake.NewClientset()
	_ = k8s.NewForClient(client).UpdateSecret(context.Background(), k8s.Secret{Namespace: "n", Name: "s", ResourceVersion: "42", Data: map[string][]byte{"k": []byte("v")}})
	_ = k8s.NewForClient(client).DeleteSecret(context.Background(), k8s.Secret{Namespace: "n", Name: "s", ResourceVersion: "42", UID: "u"})
	patch := string(client.Actions()[0].(clienttesting.PatchAction).GetPatch())
	if !strings.Contains(patch, `"resourceVersion":"42"`) {
		t.Errorf("patch has no precondition: %s", patch)
	}
	pre := client.Actions()[1].(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
	if pre == nil || *pre.ResourceVersion != "42" || *pre.UID != "u" {
		t.Errorf("deletion has no precondition: %v", pre)
	}
}

func TestPitfall13OnlyNotFoundIsAbsent(t *testing.T) {
	for _, broken := range []error{forbidden, internal, errors.New("connection reset"), context.DeadlineExceeded} {
		client := fake.NewClientset()
		failing(client, "get", "*", broken)
		c := k8s.NewForClient(client)
		if _, found, err := c.Secret(context.Background(), "openshell", "s"); found || !errors.Is(err, broken) {
			t.Errorf("secret: found %v, error %v", found, err)
		}
		if _, found, err := c.Workload(context.Background()); found || !errors.Is(err, broken) {
			t.Errorf("workload: found %v, error %v", found, err)
		}
		if _, err := c.RolloutRestart(context.Background(), "r"); !errors.Is(err, broken) {
			t.Errorf("rollout: %v", err)
		}
	}
}

func TestConflictsAreTold(t *testing.T) {
	write := map[string]func(*k8s.Cluster) error{
		"create": func(c *k8s.Cluster) error { return c.CreateSecret(context.Background(), k8s.Secret{Name: "s"}) },
		"patch":  func(c *k8s.Cluster) error { return c.UpdateSecret(context.Background(), k8s.Secret{Name: "s"}) },
		"delete": func(c *k8s.Cluster) error { return c.DeleteSecret(context.Background(), k8s.Secret{Name: "s"}) },
	}
	tests := []struct {
		verb string
		err  error
		want bool
	}{
		{"create", exists, true}, {"create", notFound, false}, {"create", forbidden, false},
		{"patch", conflict, true}, {"patch", notFound, true}, {"patch", internal, false},
		{"delete", conflict, true}, {"delete", notFound, true}, {"delete", forbidden, false},
	}
	for _, test := range tests {
		client := fake.NewClientset()
		failing(client, test.verb, "secrets", test.err)
		err := write[test.verb](k8s.NewForClient(client))
		if got := errors.Is(err, k8s.ErrConflict); err == nil || got != test.want {
			t.Errorf("%s: conflict %v for %v", test.verb, got, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := k8s.Secret{Namespace: "n", Name: "s", Data: map[string][]byte{"k": []byte("hush")}}
	if got := fmt.Sprintf("%v %+v %#v %s", s, &s, s, []k8s.Secret{s}); strings.Contains(got, "hush") || strings.Contains(got, "104") {
		t.Error(got)
	}
}

func TestEnsureNamespaces(t *testing.T) {
	ctx := context.Background()
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "openshell"}})
	c := k8s.NewForClient(client)
	created, err := c.EnsureNamespaces(ctx, k8s.Namespaces()...)
	if diff := cmp.Diff([]string{"openshell-system", "openshell-sandboxes"}, created); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	client.ClearActions()
	if created, err := c.EnsureNamespaces(ctx, k8s.Namespaces()...); created != nil || err != nil || writes(client) != nil {
		t.Errorf("again: created %v, error %v, writes %v", created, err, writes(client))
	}

	raced := fake.NewClientset()
	failing(raced, "create", "namespaces", exists)
	if created, err := k8s.NewForClient(raced).EnsureNamespaces(ctx, "openshell"); created != nil || err != nil {
		t.Errorf("made by somebody else: created %v, error %v", created, err)
	}
	leaving := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "openshell"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}})
	if _, err := k8s.NewForClient(leaving).EnsureNamespaces(ctx, "openshell"); err == nil || !strings.Contains(err.Error(), "being deleted") {
		t.Errorf("terminating: %v", err)
	}
	broken := fake.NewClientset()
	failing(broken, "list", "namespaces", internal)
	if _, err := k8s.NewForClient(broken).EnsureNamespaces(ctx, "openshell"); err == nil || writes(broken) != nil {
		t.Errorf("read error: %v, writes %v", err, writes(broken))
	}
}

func TestPitfall3StaleNodesGoVolumesStay(t *testing.T) {
	node := func(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	client := fake.NewClientset(node("openshell-cluster-a"), node("0123456789ab"), node("fedcba987654"),
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}},
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "pvc", Namespace: "openshell"}})
	c := k8s.NewForClient(client)
	deleted, err := c.DeleteStaleNodes(context.Background(), "openshell-cluster-a")
	if diff := cmp.Diff([]string{"0123456789ab", "fedcba987654"}, deleted); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if diff := cmp.Diff([]string{"delete nodes 0123456789ab", "delete nodes fedcba987654"}, writes(client)); diff != "" {
		t.Error(diff)
	}
	if deleted, err := c.DeleteStaleNodes(context.Background(), "openshell-cluster-a"); deleted != nil || err != nil {
		t.Errorf("again: %v, %v", deleted, err)
	}
}

func server(change func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "openshell", Name: "openshell", Generation: 2},
		Status:     appsv1.StatefulSetStatus{ObservedGeneration: 2, UpdatedReplicas: 1, ReadyReplicas: 1},
	}
	change(set)
	return set
}

func TestWorkload(t *testing.T) {
	waiting := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "openshell", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"},
	}}}}
	backOff := *waiting.DeepCopy()
	backOff.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "StartError", ExitCode: 128, Message: "no such file"}
	exited := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "openshell", State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 2},
	}}}}
	pending := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "no node"}}}
	tests := []struct {
		name   string
		change func(*appsv1.StatefulSet)
		pod    *corev1.PodStatus
		want   k8s.Workload
	}{
		{"ready", func(*appsv1.StatefulSet) {}, nil, k8s.Workload{Ready: true}},
		{"rolled out before", func(s *appsv1.StatefulSet) {
			s.Spec.Template.Annotations = map[string]string{"openshell.ai/secrets-revision": "r1"}
		}, nil, k8s.Workload{Ready: true, SecretsRevision: "r1"}},
		{"change not seen yet", func(s *appsv1.StatefulSet) { s.Generation = 3 }, nil, k8s.Workload{Reason: "the controller has not seen the latest change yet"}},
		{"old pod still there", func(s *appsv1.StatefulSet) { s.Status.UpdatedReplicas = 0 }, nil, k8s.Workload{Reason: "0 of 1 pods are up to date"}},
		{"pod not ready", func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 0 }, &corev1.PodStatus{}, k8s.Workload{Reason: "0 of 1 pods are ready"}},
		{"pod crashes", func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 0 }, &waiting, k8s.Workload{Reason: "container openshell: CrashLoopBackOff: back-off 10s"}},
		{"pod crashed before", func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 0 }, &backOff, k8s.Workload{Reason: "container openshell: StartError, exit code 128: no such file"}},
		{"pod exited", func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 0 }, &exited, k8s.Workload{Reason: "container openshell: Error, exit code 2"}},
		{"pod pending", func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 0 }, &pending, k8s.Workload{Reason: "pod openshell-0: Unschedulable: no node"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			objects := []runtime.Object{server(test.change)}
			if test.pod != nil {
				objects = append(objects, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "openshell", Name: "openshell-0"}, Status: *test.pod})
			}
			got, found, err := k8s.NewForClient(fake.NewClientset(objects...)).Workload(context.Background())
			if diff := cmp.Diff(test.want, got); !found || err != nil || diff != "" {
				t.Errorf("found %v, error %v\n%s", found, err, diff)
			}
		})
	}
	if _, found, err := k8s.NewForClient(fake.NewClientset()).Workload(context.Background()); found || err != nil {
		t.Errorf("absent: found %v, error %v", found, err)
	}
}

func TestRolloutRestart(t *testing.T) {
	ctx := context.Background()
	client := fake.NewClientset(server(func(s *appsv1.StatefulSet) { s.Spec.Template.Annotations = map[string]string{"chart": "1"} }))
	c := k8s.NewForClient(client)
	for i, want := range []bool{true, false} {
		if restarted, err := c.RolloutRestart(ctx, "r1"); restarted != want || err != nil {
			t.Errorf("call %d: restarted %v, error %v", i, restarted, err)
		}
	}
	if diff := cmp.Diff([]string{"patch statefulsets openshell"}, writes(client)); diff != "" {
		t.Error(diff)
	}
	set, err := client.AppsV1().StatefulSets("openshell").Get(ctx, "openshell", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"chart": "1", "openshell.ai/secrets-revision": "r1"}, set.Spec.Template.Annotations); diff != "" {
		t.Error(diff)
	}
	if restarted, err := k8s.NewForClient(fake.NewClientset()).RolloutRestart(ctx, "r1"); restarted || err != nil {
		t.Errorf("without a workload: restarted %v, error %v", restarted, err)
	}
}
