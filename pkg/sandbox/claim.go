package sandbox

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

func makeClaim(cfg Config, s *v1.Sandbox) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: meta(s),
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &cfg.StorageClass,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: cfg.StorageSize},
			},
		},
	}
}

// ensureClaim returns the UID of the sandbox's claim. It makes one only for a
// sandbox that never had one: a fresh claim in the place of a lost one would
// show the user an empty workspace.
func (r *reconciler) ensureClaim(ctx context.Context, s *v1.Sandbox) (types.UID, error) {
	key := client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.ID}
	var claim corev1.PersistentVolumeClaim
	err := r.cached.Get(ctx, key, &claim)
	if s.Status.Claim != "" && (apierrors.IsNotFound(err) || err == nil && claim.UID != s.Status.Claim) {
		err = r.client.Get(ctx, key, &claim) // the cache may lag
	}
	switch {
	case apierrors.IsNotFound(err) && s.Status.Claim == "":
		made := makeClaim(r.cfg, s)
		if err = r.client.Create(ctx, made); apierrors.IsAlreadyExists(err) {
			err = r.client.Get(ctx, key, made)
		}
		if err != nil {
			return "", fmt.Errorf("claim: %w", err)
		}
		claim = *made
	case apierrors.IsNotFound(err):
		return "", lost(reasonClaim, "the volume claim that held the workspace is gone")
	case err != nil:
		return "", fmt.Errorf("claim: %w", err)
	case s.Status.Claim != "" && s.Status.Claim != claim.UID:
		return "", lost(reasonClaim, "the volume claim that held the workspace was replaced by another")
	}
	if claim.Status.Phase == corev1.ClaimLost {
		return "", lost(reasonClaim, "the volume that held the workspace is gone")
	}
	return claim.UID, nil
}
