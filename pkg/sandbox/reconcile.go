package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// exitGrace is how long an ephemeral sandbox outlives its command and those that
// are attached to it, so that a client gets the output and the exit status, even
// by a second try. Who takes longer than attachedGrace is not waited for.
const (
	exitGrace     = 3 * time.Second
	attachedGrace = 10 * time.Minute
)

// afterConflict gives the cache time to see what another writer wrote.
const afterConflict = 50 * time.Millisecond

// again is when a pod that ended, which no pod of ours does by itself, is
// replaced at the earliest.
const again = 5 * time.Second

// connections are what a reconcile does with those to the supervisors.
type connections interface {
	// watch keeps a connection to the sandbox's supervisor, at the given place.
	watch(target)
	// word is what the supervisor said last, and whether it can be reached now.
	word(id string) word
	forget(id string)
}

// reconciler makes the objects of a sandbox, and its status.
type reconciler struct {
	cfg         Config
	cached      client.Reader
	client      client.Client // reads and writes directly
	connections connections
	nodes       capacities
	now         func() time.Time
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var s v1.Sandbox
	err := r.cached.Get(ctx, request.NamespacedName, &s)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if s.DeletionTimestamp != nil {
		return reconcile.Result{}, r.remove(ctx, &s)
	}
	if err := r.adopt(ctx, &s); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	was := s.Status.DeepCopy()
	after, err := r.bring(ctx, &s)
	if statusErr := r.writeStatus(ctx, &s, was); err == nil {
		err = statusErr
	}
	if apierrors.IsConflict(err) {
		// Somebody else was faster; looking again soon is no error.
		return reconcile.Result{RequeueAfter: afterConflict}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: after}, nil
}

// adopt gives a Sandbox that was not made by Create what Create gives it.
func (r *reconciler) adopt(ctx context.Context, s *v1.Sandbox) error {
	old := s.DeepCopy()
	changed := controllerutil.AddFinalizer(s, finalizer)
	for key, value := range labels(s.Spec.ID) {
		if s.Labels[key] != value {
			metav1.SetMetaDataLabel(&s.ObjectMeta, key, value)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return r.client.Patch(ctx, s, client.MergeFrom(old))
}

// bring makes what is missing, puts the outcome into the Sandbox's status, and
// says when to look again; 0: when something changes.
func (r *reconciler) bring(ctx context.Context, s *v1.Sandbox) (time.Duration, error) {
	var (
		claim  types.UID
		keys   repaired
		pod    *corev1.Pod
		podErr error // of its own: no problem of the others hides it
		makers errgroup.Group
	)
	makers.Go(func() (err error) { claim, err = r.ensureClaim(ctx, s); return err })
	makers.Go(func() (err error) { keys, err = r.ensureSecret(ctx, s); return err })
	makers.Go(func() error { pod, podErr = r.pod(ctx, s); return nil })
	err := makers.Wait()
	if keys.hostKey != "" {
		s.Status.HostKey = keys.hostKey
	}
	if claim != "" {
		s.Status.Claim = claim
	}
	if podErr != nil {
		return 0, podErr
	}
	said := r.connections.word(s.Spec.ID)
	if pod == nil {
		r.connections.forget(s.Spec.ID)
		said.connected = false
	}
	var p problem
	lacking := errors.As(err, &p)
	if err == nil || lacking && s.Spec.Stopped { // to end its pod a sandbox needs nothing
		pod, err = r.ensurePod(ctx, s, pod, keys.rekeyed)
	}
	if err != nil && !errors.As(err, &p) {
		return 0, err
	}
	// A sandbox with a problem may be running all the same, and one that ends has
	// something to say.
	if pod != nil {
		r.connections.watch(targetOf(s, pod))
	}
	after := observe(s, observation{pod: pod, word: said, problem: p, now: r.now()})
	ended, err := r.endEphemeral(ctx, s, said.status)
	if ended > 0 && (after == 0 || ended < after) {
		after = ended
	}
	return after, err
}

// pod reads the sandbox's; nil: there is none.
func (r *reconciler) pod(ctx context.Context, s *v1.Sandbox) (*corev1.Pod, error) {
	var pod corev1.Pod
	err := r.cached.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.ID}, &pod)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	return &pod, nil
}

// ensurePod makes or removes the pod. It returns the one there is.
func (r *reconciler) ensurePod(ctx context.Context, s *v1.Sandbox, pod *corev1.Pod, rekeyed bool) (*corev1.Pod, error) {
	switch {
	case s.Spec.Stopped && pod == nil:
		return nil, nil
	case pod == nil:
		return r.createPod(ctx, s)
	case pod.DeletionTimestamp != nil:
		return pod, nil // the event of its end brings us back
	case s.Spec.Stopped:
		return pod, r.deletePod(ctx, pod)
	case pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded:
		// Evicted, for instance. Its claim has all that it was.
		if r.now().Sub(pod.CreationTimestamp.Time) < again {
			return pod, nil
		}
		return pod, r.deletePod(ctx, pod)
	case rekeyed:
		touched := pod.DeepCopy()
		metav1.SetMetaDataAnnotation(&touched.ObjectMeta, annotationKey, r.now().UTC().Format(time.RFC3339Nano))
		if err := r.client.Patch(ctx, touched, client.MergeFrom(pod)); err != nil {
			return nil, fmt.Errorf("pod: %w", err)
		}
	}
	return pod, nil
}

func (r *reconciler) createPod(ctx context.Context, s *v1.Sandbox) (*corev1.Pod, error) {
	node, err := r.nodes.get(ctx, r.client, r.now())
	if err != nil {
		return nil, err
	}
	pod, err := makePod(r.cfg, s, node)
	if err != nil {
		return nil, err
	}
	err = r.client.Create(ctx, pod)
	switch {
	case apierrors.IsAlreadyExists(err): // the cache lags
		err = r.client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err):
		return nil, lost(reasonRefused, "Kubernetes refuses the pod: "+oneLine(err.Error()))
	}
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	return pod, nil
}

// deletePod ends exactly this pod, by its grace period.
func (r *reconciler) deletePod(ctx context.Context, pod *corev1.Pod) error {
	err := r.client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("pod: %w", err)
	}
	return nil
}

// ensureSecret completes or repairs the sandbox's Secret.
func (r *reconciler) ensureSecret(ctx context.Context, s *v1.Sandbox) (repaired, error) {
	key := client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.ID}
	var secret corev1.Secret
	err := r.cached.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) {
		err = r.client.Get(ctx, key, &secret) // the cache may lag
	}
	absent := apierrors.IsNotFound(err)
	switch {
	case absent && (s.Status.HostKey != "" || metav1.HasAnnotation(s.ObjectMeta, annotationMade)):
		return repaired{}, lost(reasonSecret, "the Secret with the sandbox's host key and environment is gone")
	case err != nil && !absent:
		return repaired{}, fmt.Errorf("secret: %w", err)
	}
	keys, err := repair(secret.Data, s.Status.HostKey, r.cfg.Master, s.Spec.ID)
	if err != nil {
		return repaired{}, err
	}
	wanted := meta(s)
	switch {
	case absent:
		err = r.client.Create(ctx, &corev1.Secret{ObjectMeta: wanted, Data: keys.data})
	case keys.data != nil || !metav1.IsControlledBy(&secret, s):
		fixed := secret.DeepCopy()
		if keys.data != nil {
			fixed.Data = keys.data
		}
		fixed.Labels, fixed.OwnerReferences = wanted.Labels, wanted.OwnerReferences
		// Only over what was read, or two writers would each make a host key.
		err = r.client.Patch(ctx, fixed, client.MergeFromWithOptions(&secret, client.MergeFromWithOptimisticLock{}))
	}
	if err != nil {
		return repaired{}, fmt.Errorf("secret: %w", err)
	}
	return keys, nil
}

// endEphemeral deletes a sandbox that was only there for its command. It says
// when that will be; 0: not foreseeable.
func (r *reconciler) endEphemeral(ctx context.Context, s *v1.Sandbox, said *sandboxapi.Status) (time.Duration, error) {
	c := s.Status.Command
	if !s.Spec.Ephemeral || c == nil || c.State != string(sandboxapi.CommandExited) {
		return 0, nil
	}
	if c.EndedAt != nil {
		grace := exitGrace
		switch {
		case said == nil:
		case said.Attached > 0:
			grace = attachedGrace
		case said.DetachedAt.After(c.EndedAt.Time):
			grace = min(said.DetachedAt.Sub(c.EndedAt.Time)+exitGrace, attachedGrace)
		}
		if left := c.EndedAt.Add(grace).Sub(r.now()); left > 0 {
			return min(left, grace), nil // whatever the clocks say
		}
	}
	return 0, client.IgnoreNotFound(r.client.Delete(ctx, s, client.Preconditions{UID: &s.UID}))
}

// writeStatus writes it if it changed.
func (r *reconciler) writeStatus(ctx context.Context, s *v1.Sandbox, was *v1.SandboxStatus) error {
	if equality.Semantic.DeepEqual(&s.Status, was) {
		return nil
	}
	old := s.DeepCopy()
	old.Status = *was
	return client.IgnoreNotFound(r.client.Status().Patch(ctx, s, client.MergeFrom(old)))
}
