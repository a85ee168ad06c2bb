package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/pki"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newCA(t *testing.T, at time.Time) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Subject{CommonName: "test CA"}, at)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *pki.CA, spec pki.LeafSpec, at time.Time) pki.KeyPair {
	t.Helper()
	pair, err := ca.Issue(spec, at)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func certificate(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssuedCertificatesServeMutualTLS(t *testing.T) {
	at := time.Now()
	ca := newCA(t, at)
	load := func(spec pki.LeafSpec) tls.Certificate {
		pair := issue(t, ca, spec, at)
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	server := &tls.Config{
		Certificates: []tls.Certificate{load(pki.LeafSpec{CommonName: "s", SANs: pki.DefaultServerSANs(nil), Usage: pki.Server})},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
	}
	client := load(pki.LeafSpec{CommonName: "c", Usage: pki.Client})
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "openshell.openshell.svc.cluster.local"} {
		if err := handshake(server, &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if err := handshake(server, &tls.Config{RootCAs: roots, ServerName: "localhost"}); err == nil {
		t.Error("a client without a certificate was let in")
	}
}

// handshake runs both sides of a TLS handshake and returns the first error.
func handshake(server, client *tls.Config) error {
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	_, err := io.ReadFull(c, make([]byte, 1))
	b.Close()
	if serverErr := <-done; serverErr != nil {
		return serverErr
	}
	return err
}

func TestIssuedShape(t *testing.T) {
	ca := newCA(t, now)
	root := certificate(t, ca.CertPEM())
	if got, want := root.NotAfter.Sub(now), pki.CALifetime; got != want {
		t.Errorf("CA lives %v, want %v", got, want)
	}
	leaf := certificate(t, issue(t, ca, pki.LeafSpec{
		CommonName: "admin", Organization: []string{"system:masters"}, SANs: []string{"Example.ORG", "10.0.0.1"}, Usage: pki.Both,
	}, now).Cert)
	for _, cert := range []*x509.Certificate{root, leaf} {
		if got := now.Sub(cert.NotBefore); got != 24*time.Hour {
			t.Errorf("%s: back-dated by %v, want 24h", cert.Subject.CommonName, got)
		}
		if pub := cert.PublicKey.(*ecdsa.PublicKey); pub.Curve != elliptic.P256() {
			t.Errorf("%s: curve is %s", cert.Subject.CommonName, pub.Curve.Params().Name)
		}
	}
	if got, want := leaf.NotAfter.Sub(now), pki.LeafLifetime; got != want {
		t.Errorf("leaf lives %v, want %v", got, want)
	}
	if diff := cmp.Diff([]string{"system:masters"}, leaf.Subject.Organization); diff != "" {
		t.Errorf("organization: %s", diff)
	}
	if diff := cmp.Diff([]string{"example.org"}, leaf.DNSNames); diff != "" {
		t.Errorf("DNS names: %s", diff)
	}
	if _, err := ca.Issue(pki.LeafSpec{SANs: []string{"no spaces"}}, now); err == nil {
		t.Error("a SAN with a space was accepted")
	}
}

func TestRenewedCAKeepsItsLeaves(t *testing.T) {
	ca := newCA(t, now)
	leaf := issue(t, ca, pki.LeafSpec{CommonName: "c", Usage: pki.Client}, now)
	later := now.Add(365 * 24 * time.Hour)
	renewed, err := pki.RenewCA(ca.Pair().Key, pki.Subject{CommonName: "test CA"}, later)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(renewed.CertPEM(), ca.CertPEM()) {
		t.Error("the certificate is the old one")
	}
	if got := pki.Validate(leaf, pki.Want{Roots: renewed.CertPEM(), Usage: pki.Client}, later); got != nil {
		t.Errorf("leaf of before: %v", got)
	}
	if got, want := certificate(t, leaf.Cert).AuthorityKeyId, certificate(t, renewed.CertPEM()).SubjectKeyId; !bytes.Equal(got, want) {
		t.Error("the leaf names another authority key: OpenSSL would refuse the chain")
	}
}

func TestKeysComeInOneFormAndAreReadInTwo(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	sec1 := append(params, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	if _, err := pki.PublicKey(sec1); err != nil {
		t.Errorf("SEC 1 key with parameters: %v", err)
	}
	written, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(written); block.Type != "PRIVATE KEY" {
		t.Errorf("wrote %q, want PKCS#8", block.Type)
	}
	public, err := pki.PublicKey(written)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(public); block.Type != "PUBLIC KEY" {
		t.Errorf("public half is %q", block.Type)
	}
}

func TestSANs(t *testing.T) {
	got := pki.DefaultServerSANs([]string{"gw.example.org", "LOCALHOST", "0:0:0:0:0:0:0:1", "192.0.2.7"})
	want := []string{
		"openshell", "openshell.openshell.svc", "openshell.openshell.svc.cluster.local", "localhost",
		"host.docker.internal", "127.0.0.1", "::1", "gw.example.org", "192.0.2.7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for san, ok := range map[string]bool{
		"a": true, "my_host.local": true, "fe80::1": true, "10.0.0.1": true, "xn--bcher-kva.example": true,
		"": false, "a b": false, "-a": false, "a..b": false, "a.": false, "fe80::1%eth0": false, "10.0.0": false, "10.0.0.256": false, "*.example.org": false, "http://a": false, "a:80": false,
	} {
		if err := pki.CheckSAN(san); (err == nil) != ok {
			t.Errorf("CheckSAN(%q) = %v, want ok %v", san, err, ok)
		}
	}
}

func FuzzPEM(f *testing.F) {
	ca, err := pki.NewCA(pki.Subject{CommonName: "fuzz"}, now)
	if err != nil {
		f.Fatal(err)
	}
	pair, err := ca.Issue(pki.LeafSpec{CommonName: "leaf", SANs: []string{"localhost"}, Usage: pki.Both}, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pair.Cert, pair.Key, ca.CertPEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), []byte{})
	f.Fuzz(func(t *testing.T, cert, key, roots []byte) {
		in := pki.KeyPair{Cert: cert, Key: key}
		problems := pki.Validate(in, pki.Want{Roots: roots, Usage: pki.Both}, now)
		pki.ValidateRoots(roots, now)
		if _, err := tls.X509KeyPair(cert, key); err != nil && len(problems) == 0 {
			t.Errorf("valid here, but crypto/tls says %v", err)
		}
		parsed, err := pki.ParseCA(in)
		if err != nil {
			return
		}
		if _, err := parsed.Issue(pki.LeafSpec{CommonName: "x", Usage: pki.Client}, now); err != nil {
			t.Logf("an authority that parses may still not issue: %v", err)
		}
	})
}

func TestSignedAndSame(t *testing.T) {
	ca, other := newCA(t, now), newCA(t, now)
	leaf := issue(t, ca, pki.LeafSpec{CommonName: "c", Usage: pki.Client}, now)
	if !pki.Signed(ca.Pair().Key, leaf.Cert) || pki.Signed(other.Pair().Key, leaf.Cert) || pki.Signed(nil, leaf.Cert) || pki.Signed(leaf.Key, nil) {
		t.Error("Signed does not tell whose key signed")
	}
	spaced := append([]byte("# comment\n\n"), ca.CertPEM()...)
	if !pki.SameCertificates(ca.CertPEM(), spaced) || pki.SameCertificates(ca.CertPEM(), other.CertPEM()) || pki.SameCertificates(nil, nil) ||
		pki.SameCertificates(ca.CertPEM(), append(spaced, other.CertPEM()...)) {
		t.Error("SameCertificates does not compare the certificates")
	}
}
