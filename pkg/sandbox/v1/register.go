package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of every type here.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "openshell.ai", Version: "v1"}
}

// AddToScheme makes the types known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &Sandbox{}, &SandboxList{}, &Route{}, &RouteList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
