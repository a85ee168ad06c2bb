//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// testGRPC asks for Health with a client that knows the server by reflection
// only, and only the bundle on disk.
func testGRPC(t *testing.T, g *Gateway) {
	t.Helper()
	const health = "openshell.v1.OpenShell/Health"
	with := grpcurl(t, "-cacert", g.Bundle("ca.crt"), "-cert", g.Bundle("tls.crt"), "-key", g.Bundle("tls.key"), g.Address(), health).Exits(t, 0)
	var answer struct{ Status, Version string }
	with.JSON(t, &answer)
	if !strings.HasSuffix(answer.Status, "HEALTHY") || answer.Version == "" {
		t.Errorf("Health: %s", with.Stdout)
	}
	without := grpcurl(t, "-max-time", "10", "-cacert", g.Bundle("ca.crt"), g.Address(), health)
	if without.Code == 0 {
		t.Errorf("Health answers without a client certificate: %s", without)
	}
	without.Says(t, "certificate required")
}

// grpc calls a method of the gateway API by reflection; the request is JSON.
func (g *Gateway) grpc(t *testing.T, method, request string, flags ...string) Result {
	t.Helper()
	args := append([]string{"tool", "-modfile=../tools/grpcurl/go.mod", "grpcurl", "-cacert", g.Bundle("ca.crt"),
		"-cert", g.Bundle("tls.crt"), "-key", g.Bundle("tls.key"), "-d", request}, flags...)
	return g.run(t, "", "go", append(args, g.Address(), "openshell.v1.OpenShell/"+method)...)
}

// grpcurl runs the public gRPC client of that name.
func grpcurl(t *testing.T, args ...string) Result {
	t.Helper()
	return run(t, nil, "", "go", append([]string{"tool", "-modfile=../tools/grpcurl/go.mod", "grpcurl"}, args...)...)
}
