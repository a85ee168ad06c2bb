package bootstrap

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/pki"
)

// authority issues a bundle for a client and a certificate for a server.
type authority struct {
	bundle hostconfig.Bundle
	server tls.Certificate
	roots  *x509.CertPool
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA(pki.Subject{CommonName: "test"}, now)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Issue(pki.LeafSpec{CommonName: "client", Usage: pki.Client, Lifetime: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(pki.LeafSpec{CommonName: "server", SANs: pki.DefaultServerSANs(nil), Usage: pki.Server, Lifetime: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.X509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	return authority{hostconfig.Bundle{CA: ca.CertPEM(), Cert: client.Cert, Key: client.Key}, server, roots}
}

// serve is a gateway that answers /readyz with a code.
func (a authority) serve(t *testing.T, code int) (endpoint string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.roots}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestReadyIsMutualTLSAnd200(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	mixed := ours.bundle
	mixed.Cert, mixed.Key = other.bundle.Cert, other.bundle.Key
	for name, c := range map[string]struct {
		code   int
		bundle hostconfig.Bundle
		reason string // in the error; empty: healthy
	}{
		"healthy":                       {200, ours.bundle, ""},
		"not ready":                     {503, ours.bundle, "503"},
		"server of another CA":          {200, other.bundle, "unknown authority"},
		"client certificate of another": {200, mixed, "tls"},
		"no key":                        {200, hostconfig.Bundle{CA: ours.bundle.CA, Cert: ours.bundle.Cert}, "client certificate"},
		"no CA":                         {200, hostconfig.Bundle{Cert: ours.bundle.Cert, Key: ours.bundle.Key}, "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			err := httpsProber{}.Ready(t.Context(), ours.serve(t, c.code), c.bundle)
			if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

func TestCertificateIsDescribedWhetherOrNotItIsTrusted(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	endpoint := ours.serve(t, 200)
	for _, c := range []struct {
		bundle  hostconfig.Bundle
		matches bool
	}{{ours.bundle, true}, {other.bundle, false}, {hostconfig.Bundle{}, false}} {
		got, err := httpsProber{}.Certificate(t.Context(), endpoint, c.bundle)
		if err != nil || got.HostCopyMatches != c.matches || len(got.SANs) < 5 || got.NotAfter.Before(time.Now()) {
			t.Errorf("%+v, %v; want a match: %t", got, err, c.matches)
		}
	}
}
