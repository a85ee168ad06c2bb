package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// ErrResources is the error of a sandbox that no node can hold.
var ErrResources = errors.New("more than a node has")

// createTimeout bounds Create, so that it is over before its Secret would be
// collected as one without a sandbox.
const (
	createTimeout  = 20 * time.Second
	cleanUpTimeout = 5 * time.Second
)

// NewSandbox is a sandbox to be.
type NewSandbox struct {
	Name        string
	Namespace   string            // empty: sandboxapi.Namespace
	Annotations map[string]string // of the Sandbox itself, for instance sandboxapi.AnnotationImage
	Spec        v1.SandboxSpec    // an empty ID is drawn
	Environment map[string]string // of the user's processes
}

// annotationMade tells a Sandbox that Create made, with a Secret, from one that
// was applied and gets one from the controller.
const annotationMade = "openshell.ai/made-with-secret"

// Create makes the sandbox, or nothing. The Secret comes first, whole but for
// the derived handshake key, so that a Sandbox always finds its environment
// there; the controller then adds the key and makes the Sandbox its owner. When
// the second call fails, the Secret is removed; when we are killed between the
// two, the controller removes it as a Secret without a Sandbox after a minute.
// When the answer to the second call is lost, the Sandbox of that id is looked
// for, so that a sandbox that exists is reported as created.
//
// A name that is taken is an error for which apierrors.IsAlreadyExists holds,
// and resources beyond those of every node are ErrResources.
func Create(ctx context.Context, c client.Client, n NewSandbox) (*v1.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if n.Spec.ID == "" {
		n.Spec.ID = NewID()
	}
	if n.Namespace == "" {
		n.Namespace = sandboxapi.Namespace
	}
	if err := fits(ctx, c, n.Spec.Resources); err != nil {
		return nil, err
	}
	secret, err := newSecret(n.Namespace, n.Spec.ID, n.Environment)
	if err != nil {
		return nil, err
	}
	s := &v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, Namespace: n.Namespace, Annotations: maps.Clone(n.Annotations),
			Labels: labels(n.Spec.ID), Finalizers: []string{finalizer},
		},
		Spec: n.Spec,
	}
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, annotationMade, "true")
	// A Secret whose creation got no answer is one without a Sandbox.
	if err := c.Create(ctx, secret); err != nil {
		return nil, fmt.Errorf("secret of sandbox %s: %w", n.Name, err)
	}
	err = c.Create(ctx, s)
	if err == nil {
		return s, nil
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	var found v1.Sandbox
	readErr := c.Get(ctx, client.ObjectKeyFromObject(s), &found)
	switch {
	case readErr == nil && found.Spec.ID == n.Spec.ID:
		return &found, nil
	case readErr == nil || apierrors.IsNotFound(readErr):
		// What cannot be removed now is collected later.
		_ = c.Delete(ctx, secret)
	}
	return nil, fmt.Errorf("sandbox %s: %w", n.Name, err)
}
