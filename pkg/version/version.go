// Package version says which build of openshell this is.
package version

// Version is stamped by the linker:
// -X openshell.ai/openshell/pkg/version.Version=v1.2.3
var Version = "dev"
