package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Types of a Secret. The API refuses to change a Secret's type.
const (
	TypeOpaque = string(corev1.SecretTypeOpaque)
	TypeTLS    = string(corev1.SecretTypeTLS) // has tls.crt and tls.key
)

// Secret is a Kubernetes Secret as read, or the part of one to write.
type Secret struct {
	Namespace, Name string
	Type            string
	Data            map[string][]byte
	Annotations     map[string]string
	Immutable       bool   // its data cannot be updated
	UID             string // as read
	ResourceVersion string // as read
}

// String keeps the data out of formatted output.
func (s Secret) String() string { return "secret " + s.Namespace + "/" + s.Name }

// GoString keeps the data out of %#v.
func (s Secret) GoString() string { return s.String() }

// Secret reads one. Only found == false means absent.
func (c *Cluster) Secret(ctx context.Context, namespace, name string) (secret Secret, found bool, err error) {
	got, err := c.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Secret{}, false, nil
	}
	if err != nil {
		return Secret{}, false, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return Secret{
		Namespace:       namespace,
		Name:            name,
		Type:            string(got.Type),
		Data:            got.Data,
		Annotations:     got.Annotations,
		Immutable:       got.Immutable != nil && *got.Immutable,
		UID:             string(got.UID),
		ResourceVersion: got.ResourceVersion,
	}, true, nil
}

// CreateSecret creates one; ErrConflict if it exists.
func (c *Cluster) CreateSecret(ctx context.Context, s Secret) error {
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, Annotations: maps.Clone(s.Annotations)},
		Type:       corev1.SecretType(s.Type),
		Data:       maps.Clone(s.Data),
	}
	_, err := c.client.CoreV1().Secrets(s.Namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
	return secretError(s, err, apierrors.IsAlreadyExists)
}

// UpdateSecret sets the given data keys and annotations and keeps all others,
// provided that the Secret is still at s.ResourceVersion; else ErrConflict.
func (c *Cluster) UpdateSecret(ctx context.Context, s Secret) error {
	metadata := map[string]any{"resourceVersion": s.ResourceVersion}
	object := map[string]any{"metadata": metadata}
	if len(s.Annotations) > 0 { // in a merge patch, null removes them all
		metadata["annotations"] = s.Annotations
	}
	if len(s.Data) > 0 {
		object["data"] = s.Data
	}
	patch, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	_, err = c.client.CoreV1().Secrets(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return secretError(s, err, apierrors.IsConflict, apierrors.IsNotFound)
}

// DeleteSecret deletes one, provided that it is still at s.ResourceVersion;
// else ErrConflict.
func (c *Cluster) DeleteSecret(ctx context.Context, s Secret) error {
	uid := types.UID(s.UID)
	err := c.client.CoreV1().Secrets(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &s.ResourceVersion},
	})
	return secretError(s, err, apierrors.IsConflict, apierrors.IsNotFound)
}

// secretError names the Secret in err and marks the given classes as conflict.
func secretError(s Secret, err error, conflicts ...func(error) bool) error {
	if err == nil {
		return nil
	}
	for _, is := range conflicts {
		if is(err) {
			return fmt.Errorf("%s: %w: %w", s, ErrConflict, err)
		}
	}
	return fmt.Errorf("%s: %w", s, err)
}
