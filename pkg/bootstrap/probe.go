package bootstrap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"openshell.ai/openshell/pkg/hostconfig"
)

const probeTime = 2 * time.Second

// serverName is a name every server certificate has, whatever address the
// gateway is bound to.
const serverName = "localhost"

// httpsProber asks /readyz with a connection of its own each time, as a client
// that knows nothing of earlier answers would.
type httpsProber struct{}

func (httpsProber) Ready(ctx context.Context, endpoint string, b hostconfig.Bundle) error {
	config, err := clientTLS(b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/readyz", nil)
	if err != nil {
		return err
	}
	// No proxy: the endpoint is this machine.
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/readyz: %s", endpoint, resp.Status)
	}
	return nil
}

// clientTLS is the configuration of a client with the bundle.
func clientTLS(b hostconfig.Bundle) (*tls.Config, error) {
	cert, err := tls.X509KeyPair(b.Cert, b.Key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b.CA) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: serverName}, nil
}

func (httpsProber) Certificate(ctx context.Context, endpoint string, b hostconfig.Bundle) (CertStatus, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return CertStatus{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	// Looked at, not trusted: nothing is sent, and what is shown is verified
	// below, where a mismatch is an answer rather than an error.
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return CertStatus{}, err
	}
	defer conn.Close()
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	out := CertStatus{NotAfter: shown.NotAfter, SANs: slices.Clone(shown.DNSNames)}
	for _, ip := range shown.IPAddresses {
		out.SANs = append(out.SANs, ip.String())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.CA)
	_, err = shown.Verify(x509.VerifyOptions{Roots: roots, DNSName: serverName})
	_, pairErr := tls.X509KeyPair(b.Cert, b.Key)
	out.HostCopyMatches = err == nil && pairErr == nil
	return out, nil
}
