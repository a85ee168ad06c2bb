//go:build e2e

package e2e

import "testing"

// kubectl of today reads one description of the API, older clients another.
// Both know what is built in and what the chart added.
func testAPIDescribed(t *testing.T, g *Gateway) {
	var old struct{ Definitions map[string]any }
	g.CLI(t, "gateway", "kubectl", "get", "--raw", "/openapi/v2").Exits(t, 0).JSON(t, &old)
	for _, kind := range []string{"io.k8s.api.apps.v1.StatefulSet", "ai.openshell.v1.Sandbox"} {
		if old.Definitions[kind] == nil {
			t.Errorf("/openapi/v2 does not define %s among its %d kinds", kind, len(old.Definitions))
		}
	}
	for _, field := range []string{"statefulset.spec.replicas", "sandbox.spec"} {
		g.CLI(t, "gateway", "kubectl", "explain", field).Exits(t, 0).Says(t, "VERSION:", "v1")
	}
}
