// Package v1 is the Kubernetes resource Sandbox of the group openshell.ai.
//
// +kubebuilder:object:generate=true
// +groupName=openshell.ai
package v1
