package sandbox

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"openshell.ai/openshell/pkg/handshake"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func running(status *corev1.PodStatus) {
	status.Phase = corev1.PodRunning
	status.PodIP = "10.1.2.3"
	status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, ContainerID: "containerd://1"}}
}

// With every object made in one pass, a sandbox is up in about a second.
func TestOnePassMakesEverything(t *testing.T) {
	r := newRig(t, testSandbox())
	r.pass()
	r.expect(v1.PhaseProvisioning, reasonProvisioning)
	var claim corev1.PersistentVolumeClaim
	var secret corev1.Secret
	pod := r.thePod()
	if !r.get(&claim) || !r.get(&secret) {
		t.Fatal("there is no claim or no Secret")
	}
	for _, o := range []client.Object{pod, &claim, &secret} {
		if !metav1.IsControlledBy(o, r.sandbox()) || o.GetLabels()[sandboxapi.LabelID] != testID || o.GetLabels()[sandboxapi.LabelManagedBy] != "openshell" {
			t.Errorf("%T: owners %v, labels %v", o, o.GetOwnerReferences(), o.GetLabels())
		}
	}
	if *claim.Spec.StorageClassName != "fast" || claim.Spec.Resources.Requests.Storage().String() != "3Gi" {
		t.Errorf("claim = %+v", claim.Spec)
	}
	if got, want := string(secret.Data[sandboxapi.SecretHandshake]), string(handshake.Derive(testMaster(), testID)); got != want {
		t.Errorf("handshake key has %d characters and is not the derived one", len(got))
	}
	public, err := publicHostKey(secret.Data[sandboxapi.SecretHostKey])
	if s := r.sandbox(); err != nil || s.Status.HostKey != public || s.Status.Claim != claim.UID {
		t.Errorf("status = %+v, public key %s (%v)", s.Status, public, err)
	}
}

func TestReadyWhenTheSupervisorAnswers(t *testing.T) {
	r := newRig(t, testSandbox())
	r.pass()
	if got := r.links.watched[testID]; got.address != "" || got.sandbox != testName {
		t.Errorf("before the pod has an address, watched = %+v", got)
	}
	r.changeStatus(running)
	r.pass()
	r.expect(v1.PhaseProvisioning, reasonConnecting)
	if got := r.links.watched[testID]; got.address != "10.1.2.3:2222" || got.hostKey != r.sandbox().Status.HostKey || got.container != "containerd://1" {
		t.Errorf("watched = %+v", got)
	}
	started := time.Date(2026, 1, 2, 3, 0, 0, 5, time.UTC)
	r.links.says = word{connected: true, status: &sandboxapi.Status{Command: &sandboxapi.CommandStatus{State: sandboxapi.CommandRunning, StartedAt: started, Runs: 2}}}
	r.pass()
	r.expect(v1.PhaseReady, reasonReady)
	want := &v1.CommandStatus{State: "running", StartedAt: new(metav1.NewTime(started.Truncate(time.Second))), Runs: 2}
	if diff := cmp.Diff(want, r.sandbox().Status.Command); diff != "" {
		t.Error(diff)
	}
	version := r.sandbox().ResourceVersion
	r.pass()
	if got := r.sandbox().ResourceVersion; got != version {
		t.Error("a pass without news wrote the sandbox")
	}
	// The connection is lost: what the command last did stays known.
	r.links.says.connected = false
	r.pass()
	r.expect(v1.PhaseProvisioning, reasonConnecting)
	if r.sandbox().Status.Command == nil {
		t.Error("the command's status is forgotten")
	}
}

func TestStopKeepsTheClaimAndStartUsesIt(t *testing.T) {
	r := newRig(t, testSandbox())
	r.pass()
	was := r.sandbox().Status
	change(r, &v1.Sandbox{}, func(s *v1.Sandbox) { s.Spec.Stopped = true })
	r.pass()
	r.expect(v1.PhaseProvisioning, reasonStopping)
	r.pass()
	r.expect(v1.PhaseStopped, reasonStopped)
	var claim corev1.PersistentVolumeClaim
	if r.get(&corev1.Pod{}) || !r.get(&claim) || len(r.links.watched) > 0 {
		t.Errorf("pod %v, claim %v, watched %v", r.get(&corev1.Pod{}), r.get(&claim), r.links.watched)
	}
	change(r, &v1.Sandbox{}, func(s *v1.Sandbox) { s.Spec.Stopped = false })
	r.pass()
	r.thePod()
	if s := r.sandbox(); s.Status.Claim != was.Claim || s.Status.HostKey != was.HostKey {
		t.Errorf("status = %+v, was %+v", s.Status, was)
	}
}

func TestCommandOfAStoppedSandbox(t *testing.T) {
	for _, tt := range []struct {
		name string
		last *sandboxapi.CommandStatus // while the pod ends; nil: nothing
		want sandboxapi.CommandState
		code int32
	}{
		{"interrupted", &sandboxapi.CommandStatus{State: sandboxapi.CommandInterrupted}, sandboxapi.CommandInterrupted, 0},
		{"ended meanwhile", &sandboxapi.CommandStatus{State: sandboxapi.CommandExited, ExitCode: 3}, sandboxapi.CommandExited, 3},
		{"killed", nil, sandboxapi.CommandInterrupted, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testSandbox())
			r.pass()
			r.changeStatus(running)
			r.links.says = word{connected: true, status: &sandboxapi.Status{Command: &sandboxapi.CommandStatus{State: sandboxapi.CommandRunning}}}
			r.pass()
			change(r, &corev1.Pod{}, func(p *corev1.Pod) { p.Finalizers = []string{"test/running"} })
			change(r, &v1.Sandbox{}, func(s *v1.Sandbox) { s.Spec.Stopped = true })
			r.pass()
			r.pass()
			r.expect(v1.PhaseProvisioning, reasonStopping)
			if got := r.sandbox().Status.Command.State; got != string(sandboxapi.CommandRunning) {
				t.Errorf("before its end it is %s", got)
			}
			if got, ok := r.links.watched[testID]; !ok || !got.ending {
				t.Errorf("watched while its pod ends: %+v", r.links.watched)
			}
			if tt.last != nil {
				r.links.says.status = &sandboxapi.Status{Command: tt.last}
			}
			// The pod is gone before anybody looked.
			change(r, &corev1.Pod{}, func(p *corev1.Pod) { p.Finalizers = nil })
			r.pass()
			r.expect(v1.PhaseStopped, reasonStopped)
			if c := r.sandbox().Status.Command; c.State != string(tt.want) || c.ExitCode != tt.code {
				t.Errorf("command = %+v", c)
			}
			r.pass()
			if c := r.sandbox().Status.Command; c.State != string(tt.want) || len(r.links.watched) > 0 {
				t.Errorf("command = %+v, watched %v", c, r.links.watched)
			}
		})
	}
}

func TestPodThatVanishedIsMadeAgain(t *testing.T) {
	r := newRig(t, testSandbox())
	r.pass()
	if err := r.client.Delete(t.Context(), r.thePod()); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.thePod()
}

func TestPodThatEndedIsReplacedAfterAWhile(t *testing.T) {
	r := newRig(t, testSandbox())
	r.pass()
	r.changeStatus(func(s *corev1.PodStatus) { s.Phase, s.Reason = corev1.PodFailed, "Evicted" })
	change(r, &corev1.Pod{}, func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(r.clock) })
	if after := r.pass().RequeueAfter; after <= 0 || !r.get(&corev1.Pod{}) {
		t.Errorf("looks again after %s; pod %v", after, r.get(&corev1.Pod{}))
	}
	r.expect(v1.PhaseProvisioning, reasonRestarting)
	r.clock = r.clock.Add(again)
	r.pass()
	r.pass()
	if got := r.thePod().Status.Phase; got == corev1.PodFailed {
		t.Error("the ended pod is still there")
	}
}

func TestLostObjectsAreErrorsAndNeverMadeAnew(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(*rig)
		reason string
	}{
		{"claim gone", func(r *rig) { mustDelete(r, &corev1.PersistentVolumeClaim{}) }, reasonClaim},
		{"claim replaced", func(r *rig) {
			mustDelete(r, &corev1.PersistentVolumeClaim{})
			if err := r.client.Create(r.t.Context(), makeClaim(r.cfg, r.sandbox())); err != nil {
				r.t.Fatal(err)
			}
		}, reasonClaim},
		{"volume gone", func(r *rig) {
			var claim corev1.PersistentVolumeClaim
			r.get(&claim)
			claim.Status.Phase = corev1.ClaimLost
			if err := r.client.Status().Update(r.t.Context(), &claim); err != nil {
				r.t.Fatal(err)
			}
		}, reasonClaim},
		{"secret gone", func(r *rig) { mustDelete(r, &corev1.Secret{}) }, reasonSecret},
		{"host key gone", func(r *rig) {
			change(r, &corev1.Secret{}, func(s *corev1.Secret) { delete(s.Data, sandboxapi.SecretHostKey) })
		}, reasonHostKey},
		{"host key damaged", func(r *rig) {
			change(r, &corev1.Secret{}, func(s *corev1.Secret) { s.Data[sandboxapi.SecretHostKey] = []byte("no key") })
		}, reasonHostKey},
		{"host key of another", func(r *rig) {
			key, err := newHostKey()
			if err != nil {
				r.t.Fatal(err)
			}
			change(r, &corev1.Secret{}, func(s *corev1.Secret) { s.Data[sandboxapi.SecretHostKey] = key })
		}, reasonHostKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testSandbox())
			r.pass()
			hostKey := r.sandbox().Status.HostKey
			tt.damage(r)
			var claims corev1.PersistentVolumeClaimList
			var secrets corev1.SecretList
			before := contents(r, &claims, &secrets)
			r.pass()
			r.expect(v1.PhaseError, tt.reason)
			if diff := cmp.Diff(before, contents(r, &claims, &secrets)); diff != "" {
				t.Errorf("claims and Secrets changed:\n%s", diff)
			}
			if r.sandbox().Status.HostKey != hostKey {
				t.Error("the host key that clients know was forgotten")
			}
		})
	}
}

// What it lacks does not keep it running.
func TestSandboxWithAProblemStops(t *testing.T) {
	for name, lost := range map[string]client.Object{"claim": &corev1.PersistentVolumeClaim{}, "secret": &corev1.Secret{}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, testSandbox())
			r.pass()
			mustDelete(r, lost)
			change(r, &v1.Sandbox{}, func(s *v1.Sandbox) { s.Spec.Stopped = true })
			r.pass()
			r.expect(v1.PhaseProvisioning, reasonStopping)
			if r.get(&corev1.Pod{}) {
				t.Error("the pod is still there")
			}
			r.pass()
			r.expect(v1.PhaseStopped, reasonStopped)
			change(r, &v1.Sandbox{}, func(s *v1.Sandbox) { s.Spec.Stopped = false })
			r.pass()
			if got := r.sandbox().Status.Phase; got != v1.PhaseError || r.get(&corev1.Pod{}) {
				t.Errorf("started, its phase is %s", got)
			}
		})
	}
}

func mustDelete(r *rig, o client.Object) {
	r.t.Helper()
	if !r.get(o) {
		r.t.Fatalf("there is no %T", o)
	}
	if err := r.client.Delete(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
}

// contents lists and returns the versions of all claims and Secrets.
func contents(r *rig, claims *corev1.PersistentVolumeClaimList, secrets *corev1.SecretList) []string {
	r.t.Helper()
	if err := errors.Join(r.client.List(r.t.Context(), claims), r.client.List(r.t.Context(), secrets)); err != nil {
		r.t.Fatal(err)
	}
	var versions []string
	for _, c := range claims.Items {
		versions = append(versions, string(c.UID)+c.ResourceVersion)
	}
	for _, s := range secrets.Items {
		versions = append(versions, string(s.UID)+s.ResourceVersion)
	}
	return versions
}

// A Secret that cannot be read is not absent: pitfall 13.
func TestReadErrorsChangeNothing(t *testing.T) {
	for _, kind := range []client.Object{&corev1.Secret{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}} {
		r := newRig(t, testSandbox())
		r.pass()
		var claims corev1.PersistentVolumeClaimList
		var secrets corev1.SecretList
		before, status := contents(r, &claims, &secrets), r.sandbox().Status
		unreadable := errors.New("etcdserver: request timed out")
		r.fail = func(verb string, o client.Object) error {
			if verb == "get" && sameKind(o, kind) {
				return unreadable
			}
			return nil
		}
		if _, err := r.Reconcile(t.Context(), request()); !errors.Is(err, unreadable) {
			t.Errorf("%T: error = %v", kind, err)
		}
		r.fail = nil
		if diff := cmp.Diff(before, contents(r, &claims, &secrets)); diff != "" {
			t.Errorf("%T: %s", kind, diff)
		}
		if diff := cmp.Diff(status, r.sandbox().Status); diff != "" {
			t.Errorf("%T: status changed:\n%s", kind, diff)
		}
	}
}

func sameKind(a, b client.Object) bool {
	switch a.(type) {
	case *corev1.Secret:
		_, ok := b.(*corev1.Secret)
		return ok
	case *corev1.PersistentVolumeClaim:
		_, ok := b.(*corev1.PersistentVolumeClaim)
		return ok
	case *corev1.Pod:
		_, ok := b.(*corev1.Pod)
		return ok
	}
	return false
}

func TestRepairedMasterReachesThePod(t *testing.T) {
	r := newRig(t, testSandbox())
	r.pass()
	var before corev1.Secret
	r.get(&before)
	if r.thePod().Annotations[annotationKey] != "" {
		t.Error("a new pod is told of a new key")
	}
	other := handshake.Key("f" + string(testMaster())[1:])
	r.cfg.Master = other
	r.pass()
	var after corev1.Secret
	r.get(&after)
	want := before.DeepCopy()
	want.Data[sandboxapi.SecretHandshake] = []byte(handshake.Derive(other, testID))
	if !cmp.Equal(want.Data, after.Data) {
		t.Error("more than the handshake key was changed, or less")
	}
	if r.thePod().Annotations[annotationKey] == "" {
		t.Error("the kubelet is not told of the new key")
	}
	version := after.ResourceVersion
	r.pass()
	r.get(&after)
	if after.ResourceVersion != version {
		t.Error("a valid Secret was rewritten")
	}
}

func TestDeletionTakesEverythingAlong(t *testing.T) {
	session := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "session", Namespace: sandboxapi.Namespace, Labels: labels(testID)}}
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: sandboxapi.Namespace, Labels: labels("other")}}
	elsewhere := testSandbox()
	elsewhere.Spec.ID = "other"
	r := newRig(t, testSandbox(), session, other, NewRoute(testSandbox(), "shop", 8000), NewRoute(elsewhere, "others", 8000))
	r.pass()
	// The pod has processes to end.
	change(r, &corev1.Pod{}, func(p *corev1.Pod) { p.Finalizers = []string{"test/running"} })
	if err := r.client.Delete(t.Context(), r.sandbox()); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.expect(v1.PhaseDeleting, reasonDeleting)
	if r.thePod().DeletionTimestamp == nil {
		t.Error("the pod is not being deleted")
	}
	if !r.get(&corev1.Secret{}) {
		t.Error("the Secret went before the pod")
	}
	var routes v1.RouteList
	if err := r.client.List(t.Context(), &routes); err != nil || len(routes.Items) != 1 || routes.Items[0].Name != "others" {
		t.Errorf("routes left: %v (%v)", routes.Items, err)
	}
	if len(r.links.watched) > 0 {
		t.Error("the supervisor is still connected to")
	}
	r.pass()
	change(r, &corev1.Pod{}, func(p *corev1.Pod) { p.Finalizers = nil })
	r.pass()
	for _, o := range []client.Object{&v1.Sandbox{}, &corev1.Pod{}, &corev1.PersistentVolumeClaim{}, &corev1.Secret{}} {
		if r.get(o) {
			t.Errorf("%T is still there", o)
		}
	}
	var secrets corev1.SecretList
	if err := r.client.List(t.Context(), &secrets); err != nil || len(secrets.Items) != 1 || secrets.Items[0].Name != "other" {
		t.Errorf("Secrets left: %v (%v)", secrets.Items, err)
	}
}

func TestEphemeralGoesAfterItsCommand(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ephemeral bool
		state     sandboxapi.CommandState
		goes      bool
	}{
		{"exited", true, sandboxapi.CommandExited, true},
		{"running", true, sandboxapi.CommandRunning, false},
		{"interrupted", true, sandboxapi.CommandInterrupted, false},
		{"kept", false, sandboxapi.CommandExited, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testSandbox()
			s.Spec.Ephemeral = tt.ephemeral
			r := newRig(t, s)
			r.pass()
			r.changeStatus(running)
			r.links.says = word{connected: true, status: &sandboxapi.Status{Command: &sandboxapi.CommandStatus{State: tt.state, EndedAt: r.clock}}}
			after := r.pass().RequeueAfter
			if (after > 0) != tt.goes || r.sandbox().DeletionTimestamp != nil {
				t.Errorf("looks again after %s; deleted already: %v", after, r.sandbox().DeletionTimestamp)
			}
			r.clock = r.clock.Add(exitGrace)
			r.pass()
			if got := r.sandbox().DeletionTimestamp != nil; got != tt.goes {
				t.Errorf("deleted after the grace: %v", got)
			}
		})
	}
}

// Whoever reads the output slowly has the time to read all of it.
func TestEphemeralWaitsForAttachedClients(t *testing.T) {
	s := testSandbox()
	s.Spec.Ephemeral = true
	r := newRig(t, s)
	r.pass()
	r.changeStatus(running)
	ended := r.clock
	say := func(attached int, detachedAt time.Time) {
		r.links.says = word{connected: true, status: &sandboxapi.Status{
			Command: &sandboxapi.CommandStatus{State: sandboxapi.CommandExited, EndedAt: ended}, Attached: attached, DetachedAt: detachedAt,
		}}
	}
	lives := func(when string, want bool) {
		t.Helper()
		after := r.pass().RequeueAfter
		if got := r.sandbox().DeletionTimestamp == nil; got != want || got && after <= 0 {
			t.Errorf("%s it lives: %v, looked at again after %s", when, got, after)
		}
	}
	say(1, time.Time{})
	r.clock = ended.Add(5 * time.Minute)
	lives("while a client is attached", true)
	say(0, r.clock)
	lives("when the last went", true)
	r.clock = r.clock.Add(exitGrace)
	lives("after the grace", false)

	r = newRig(t, s)
	r.clock = ended
	r.pass()
	r.changeStatus(running)
	say(1, time.Time{})
	r.clock = ended.Add(attachedGrace)
	lives("with a client that never goes", false)
}

// One that was applied with kubectl works too.
func TestSandboxWithoutLabelsIsAdopted(t *testing.T) {
	s := testSandbox()
	s.Labels, s.Finalizers = nil, nil
	r := newRig(t, s)
	r.pass()
	got := r.sandbox()
	if got.Labels[sandboxapi.LabelID] != testID || len(got.Finalizers) != 1 {
		t.Errorf("labels %v, finalizers %v", got.Labels, got.Finalizers)
	}
	r.thePod()
}
