package sandbox

import (
	"crypto/rand"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	// finalizer keeps a Sandbox until everything it owns is gone.
	finalizer = "openshell.ai/sandbox"
	// annotationKey on a pod changes with its handshake key: the kubelet then
	// looks at the pod, and at its mounted Secret, at once.
	annotationKey = "openshell.ai/handshake-key-changed"

	idLength   = 20
	idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// NewID draws an id: 20 letters and digits.
func NewID() string {
	id := make([]byte, 0, idLength)
	for len(id) < idLength {
		var b [2 * idLength]byte
		_, _ = rand.Read(b[:]) // never fails
		for _, x := range b {
			// The rest of the bytes would make some letters more likely.
			if n := 256 / len(idAlphabet) * len(idAlphabet); int(x) < n && len(id) < idLength {
				id = append(id, idAlphabet[int(x)%len(idAlphabet)])
			}
		}
	}
	return string(id)
}

// labels are on every object of the sandbox, and on itself.
func labels(id string) map[string]string {
	return map[string]string{
		sandboxapi.LabelID:        id,
		sandboxapi.LabelManagedBy: sandboxapi.ManagedBy,
	}
}

// owner makes the object go with the sandbox.
func owner(s *v1.Sandbox) metav1.OwnerReference {
	return *metav1.NewControllerRef(s, v1.GroupVersion().WithKind("Sandbox"))
}

// meta is that of an object of the sandbox.
func meta(s *v1.Sandbox) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:            s.Spec.ID,
		Namespace:       s.Namespace,
		Labels:          labels(s.Spec.ID),
		OwnerReferences: []metav1.OwnerReference{owner(s)},
	}
}
