package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Route has the web server of the gateway lead to a port of a sandbox. Its own
// name is that of the service, so that no two have the same; it goes with the
// sandbox, its owner.
//
// +kubebuilder:object:root=true
// +kubebuilder:printcolumn:name="Sandbox",type=string,JSONPath=`.spec.sandbox`
// +kubebuilder:printcolumn:name="Port",type=integer,JSONPath=`.spec.port`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Route struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RouteSpec `json:"spec"`
}

// RouteList is a list of routes.
//
// +kubebuilder:object:root=true
type RouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Route `json:"items"`
}

// RouteSpec is where a route leads.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a route never changes"
type RouteSpec struct {
	// Sandbox is the name, for people; SandboxID says which it is.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Sandbox string `json:"sandbox"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	SandboxID string `json:"sandboxID"`

	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}
