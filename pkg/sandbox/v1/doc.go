// Package v1 is the Kubernetes resource Sandbox of the group openshell.ai. Its
// copying methods and its definition in the chart are generated; a test of
// tools/crd compares them.
//
// +kubebuilder:object:generate=true
// +groupName=openshell.ai
package v1

//go:generate go tool -modfile=../../../tools/crd/go.mod controller-gen object crd:maxDescLen=0 paths=. output:crd:dir=../../../deploy/helm/openshell/crds
