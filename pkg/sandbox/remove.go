package sandbox

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// remove deletes what the sandbox owns and lets it go when all of that is gone.
// It goes by the API's own answers: a cache may not know yet what was just made.
// The sandbox's routes and sessions end first, its own Secret last, with its
// processes.
func (r *reconciler) remove(ctx context.Context, s *v1.Sandbox) error {
	if !controllerutil.ContainsFinalizer(s, finalizer) {
		return nil
	}
	r.connections.forget(s.Spec.ID)
	was := s.Status.DeepCopy()
	observe(s, observation{now: r.now()})
	if err := r.writeStatus(ctx, s, was); err != nil {
		return err
	}
	if err := r.removeRoutes(ctx, s); err != nil {
		return err
	}
	var secrets corev1.SecretList
	if err := r.client.List(ctx, &secrets, client.InNamespace(s.Namespace), client.MatchingLabels{sandboxapi.LabelID: s.Spec.ID}); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	for i := range secrets.Items {
		if secrets.Items[i].Name != s.Spec.ID {
			if _, err := r.gone(ctx, &secrets.Items[i]); err != nil {
				return err
			}
		}
	}
	m := meta(s)
	m.OwnerReferences, m.Labels = nil, nil
	podGone, err := r.gone(ctx, &corev1.Pod{ObjectMeta: m})
	if err != nil {
		return err
	}
	claimGone, err := r.gone(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: m})
	if err != nil || !podGone || !claimGone {
		return err // the events of their ends bring us back
	}
	if _, err := r.gone(ctx, &corev1.Secret{ObjectMeta: m}); err != nil {
		return err
	}
	old := s.DeepCopy()
	controllerutil.RemoveFinalizer(s, finalizer)
	return client.IgnoreNotFound(r.client.Patch(ctx, s, client.MergeFrom(old)))
}

// gone deletes the object and reports whether there is none.
func (r *reconciler) gone(ctx context.Context, o client.Object) (bool, error) {
	err := r.client.Delete(ctx, o)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%T %s: %w", o, o.GetName(), err)
	}
	return false, nil
}
