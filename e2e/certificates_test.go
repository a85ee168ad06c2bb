//go:build e2e

package e2e

import (
	"encoding/base64"
	"regexp"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/pki"
)

// longAgo is so long ago that no certificate of that time is still valid.
const longAgo = 11 * 365 * 24 * time.Hour

// Nothing on the volume but the authority's key needs to be of use.
func testNodeCertificatesExpired(t *testing.T, g *Gateway) {
	stopped(t, g)
	expireNode(t, g)
}

// expireNode turns every certificate that the stopped node has on its volume
// into one that expired long ago.
func expireNode(t *testing.T, g *Gateway) {
	t.Helper()
	then := time.Now().Add(-longAgo)
	key := g.OnVolume(t, "", "cat current/pki/ca.key")
	ca, err := pki.RenewCA([]byte(key), pki.Subject{CommonName: "openshell-node-ca"}, then)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := ca.Issue(pki.LeafSpec{CommonName: "openshell:admin", Organization: []string{"system:masters"}, Usage: pki.Client}, then)
	if err != nil {
		t.Fatal(err)
	}
	config := g.OnVolume(t, "", "cat current/pki/admin.kubeconfig")
	for field, value := range map[string][]byte{
		"certificate-authority-data": ca.CertPEM(), "client-certificate-data": admin.Cert, "client-key-data": admin.Key,
	} {
		line := regexp.MustCompile(`(?m)^( *` + field + `:).*$`)
		if !line.MatchString(config) {
			t.Fatalf("admin.kubeconfig has no %s", field)
		}
		config = line.ReplaceAllString(config, "${1} "+base64.StdEncoding.EncodeToString(value))
	}
	g.OnVolume(t, config+"\n", "cat >current/pki/admin.kubeconfig")
	g.OnVolume(t, string(ca.CertPEM()), "cat >current/pki/ca.crt")
	// Should there ever be another certificate, it has to be thought of here.
	if found := g.OnVolume(t, "", "cd current/pki; echo *"); found != "admin.kubeconfig ca.crt ca.key sa.key" {
		t.Errorf("current/pki holds %s", found)
	}
}
