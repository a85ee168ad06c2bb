package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// orphanAge is more than Create takes, from its Secret to its Sandbox.
const (
	orphanAge   = time.Minute
	orphanEvery = time.Minute
)

// orphans removes Secrets whose sandbox was never made, or is gone.
type orphans struct {
	namespace string
	cached    client.Reader
	client    client.Client
	now       func() time.Time
	log       *slog.Logger
}

// Start implements manager.Runnable.
func (o *orphans) Start(ctx context.Context) error {
	tick := time.NewTicker(orphanEvery)
	defer tick.Stop()
	for {
		if err := o.collect(ctx); err != nil && ctx.Err() == nil {
			o.log.Warn("Secrets without a sandbox are kept for now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// collect looks at old Secrets in the cache, and asks the API server for the
// sandboxes only when one of them seems to have none.
func (o *orphans) collect(ctx context.Context) error {
	var cached v1.SandboxList
	if err := o.cached.List(ctx, &cached, client.InNamespace(o.namespace)); err != nil {
		return fmt.Errorf("sandboxes: %w", err)
	}
	var secrets corev1.SecretList
	if err := o.cached.List(ctx, &secrets, client.InNamespace(o.namespace), client.HasLabels{sandboxapi.LabelID}); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	suspects := without(secrets.Items, cached.Items, o.now().Add(-orphanAge))
	if len(suspects) == 0 {
		return nil
	}
	var sandboxes v1.SandboxList
	if err := o.client.List(ctx, &sandboxes, client.InNamespace(o.namespace)); err != nil {
		return fmt.Errorf("sandboxes: %w", err)
	}
	for _, secret := range without(suspects, sandboxes.Items, o.now().Add(-orphanAge)) {
		if err := o.client.Delete(ctx, &secret, client.Preconditions{UID: &secret.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("secret %s: %w", secret.Name, err)
		}
		o.log.Info("removed a Secret without a sandbox", "secret", secret.Name)
	}
	return nil
}

// without returns the Secrets made before a moment for none of the sandboxes.
func without(secrets []corev1.Secret, sandboxes []v1.Sandbox, before time.Time) []corev1.Secret {
	ids := map[string]bool{}
	for _, s := range sandboxes {
		ids[s.Spec.ID] = true
	}
	var left []corev1.Secret
	for _, secret := range secrets {
		if !ids[secret.Labels[sandboxapi.LabelID]] && secret.CreationTimestamp.Time.Before(before) {
			left = append(left, secret)
		}
	}
	return left
}
