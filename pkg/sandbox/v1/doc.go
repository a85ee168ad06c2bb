// Package v1 is the Kubernetes resources Sandbox and Route of the group
// openshell.ai. Their copying methods and definitions in the chart are
// generated; a test of tools/crd compares them.
//
// +kubebuilder:object:generate=true
// +groupName=openshell.ai
package v1

//go:generate go tool -modfile=../../../tools/crd/go.mod controller-gen object crd:maxDescLen=0 paths=. output:crd:dir=../../../deploy/helm/openshell/crds
