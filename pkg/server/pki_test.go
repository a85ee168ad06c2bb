package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority issues certificates for the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// pair is a certificate and its key in PEM.
type pair struct{ cert, key []byte }

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{cert, key}
}

func (a authority) issue(t *testing.T, usage x509.ExtKeyUsage, notAfter time.Time) pair {
	t.Helper()
	key := newKey(t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "openshell"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)}
}

func (a authority) server(t *testing.T) pair {
	return a.issue(t, x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
}

func (a authority) client(t *testing.T) pair {
	return a.issue(t, x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
}

func (a authority) pem() []byte { return encode("CERTIFICATE", a.cert.Raw) }

// config is for a client that trusts a and shows the given certificates.
func (a authority) config(t *testing.T, client ...pair) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	c.RootCAs.AddCert(a.cert)
	for _, p := range client {
		cert, err := tls.X509KeyPair(p.cert, p.key)
		must(t, err)
		// Given by callback, as a client leaves out a certificate that the
		// server's list of CAs does not cover.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return c
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// writeTLS replaces the TLS files of a server as a mounted Secret does: each
// file is a new one.
func writeTLS(t *testing.T, dir string, server pair, clientCA []byte) TLSFiles {
	t.Helper()
	files := TLSFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientCA: filepath.Join(dir, "ca.crt")}
	for path, content := range map[string][]byte{files.Cert: server.cert, files.Key: server.key, files.ClientCA: clientCA} {
		must(t, os.WriteFile(path+".new", content, 0o600))
		must(t, os.Rename(path+".new", path))
	}
	return files
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
