package gateway

import "strings"

// Labels on the Docker containers that make up a user container, beside those of
// every resource.
const (
	LabelKind         = "openshell.ai/kind" // value KindUserContainer
	LabelContainer    = "openshell.ai/container"
	KindUserContainer = "user-container"
)

const (
	userPrefix    = "openshell-container-"
	sidecarPrefix = "openshell-sidecar-"
)

// UserContainer is the Docker name of a user container. A container's name has
// no dot, so that no two gateways share one.
func (n Name) UserContainer(container string) string { return userPrefix + string(n) + "." + container }

// Sidecar is the Docker name of the container that joins the gateway's VPN for a
// user container.
func (n Name) Sidecar(container string) string { return sidecarPrefix + string(n) + "." + container }

// IsSidecar reports whether a Docker name is that of one of the gateway's
// sidecars.
func (n Name) IsSidecar(name string) bool {
	container, ok := strings.CutPrefix(name, n.Sidecar(""))
	return ok && container != "" && !strings.Contains(container, ".")
}

// UserContainers are the labels that all user containers of the gateway and
// their sidecars have.
func (n Name) UserContainers() map[string]string {
	return map[string]string{LabelManagedBy: ManagedBy, LabelGateway: string(n), LabelKind: KindUserContainer}
}
