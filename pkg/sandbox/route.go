package sandbox

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// NewRoute is one to a port of the sandbox, which owns it.
func NewRoute(s *v1.Sandbox, host string, port int32) *v1.Route {
	return &v1.Route{
		ObjectMeta: metav1.ObjectMeta{
			Name: host, Namespace: s.Namespace, Labels: labels(s.Spec.ID), OwnerReferences: []metav1.OwnerReference{owner(s)},
		},
		Spec: v1.RouteSpec{Sandbox: s.Name, SandboxID: s.Spec.ID, Port: port},
	}
}

// removeRoutes frees the names of the sandbox's routes. Kubernetes would, but
// some time later.
func (r *reconciler) removeRoutes(ctx context.Context, s *v1.Sandbox) error {
	var routes v1.RouteList
	err := r.client.List(ctx, &routes, client.InNamespace(s.Namespace), client.MatchingLabels{sandboxapi.LabelID: s.Spec.ID})
	if client.IgnoreNotFound(err) != nil { // not found is the resource's definition
		return fmt.Errorf("routes: %w", err)
	}
	for i := range routes.Items {
		if _, err := r.gone(ctx, &routes.Items[i]); err != nil {
			return err
		}
	}
	return nil
}
