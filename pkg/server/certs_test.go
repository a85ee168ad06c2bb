package server

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestClientsThatCannotProveThemselvesAreRefused(t *testing.T) {
	s, ca, _ := startTLS(t)
	other := newAuthority(t, "another CA")
	for _, tt := range []struct {
		name   string
		config *tls.Config
	}{
		{"no certificate", ca.config(t)},
		{"certificate of another CA", ca.config(t, other.client(t))},
		{"expired certificate", ca.config(t, ca.issue(t, x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour)))},
		{"certificate for servers", ca.config(t, ca.server(t))},
		{"TLS 1.1", func() *tls.Config {
			c := ca.config(t, ca.client(t))
			c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
			return c
		}()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := callHealth(t, dial(t, s, tt.config)); status.Code(err) != codes.Unavailable {
				t.Errorf("Health() = %v, %v, want a refused connection", got, err)
			}
			if code, _, err := get(t, "https://"+s.Addr().String()+"/readyz", tt.config.Clone()); err == nil {
				t.Errorf("GET /readyz = %d, want a refused connection", code)
			}
		})
	}
}

func TestTLS12IsAccepted(t *testing.T) {
	s, ca, _ := startTLS(t)
	config := ca.config(t, ca.client(t))
	config.MaxVersion = tls.VersionTLS12
	if _, err := callHealth(t, dial(t, s, config)); err != nil {
		t.Error(err)
	}
}

func TestRotationNeedsNoRestart(t *testing.T) {
	s, old, dir := startTLS(t)
	oldClient := old.client(t)
	if code, _, err := get(t, "https://"+s.Addr().String()+"/readyz", old.config(t, oldClient)); code != 200 {
		t.Fatal(code, err)
	}

	rotated := newAuthority(t, "rotated CA")
	writeTLS(t, dir, rotated.server(t), rotated.pem())

	if code, _, err := get(t, "https://"+s.Addr().String()+"/readyz", rotated.config(t, rotated.client(t))); code != 200 {
		t.Errorf("client of the new CA: %d, %v", code, err)
	}
	if _, _, err := get(t, "https://"+s.Addr().String()+"/readyz", rotated.config(t, oldClient)); err == nil {
		t.Error("a client of the former CA is still accepted")
	}
}

func TestUnusableFilesKeepTheFormerOnesInUse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, TLSFiles)
	}{
		{"certificate damaged", func(t *testing.T, f TLSFiles) { must(t, os.WriteFile(f.Cert, []byte("nonsense"), 0o600)) }},
		{"key absent", func(t *testing.T, f TLSFiles) { must(t, os.Remove(f.Key)) }},
		{"client CA empty", func(t *testing.T, f TLSFiles) { must(t, os.Truncate(f.ClientCA, 0)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ca, dir := startTLS(t)
			client := ca.client(t)
			tt.spoil(t, s.certs.files)
			for range 3 {
				if code, body, err := get(t, "https://"+s.Addr().String()+"/readyz", ca.config(t, client)); code != 200 {
					t.Fatalf("GET /readyz = %d %q, %v", code, body, err)
				}
			}
			if n := strings.Count(s.log.String(), "cannot be used"); n != 1 {
				t.Errorf("reported %d times, want once:\n%s", n, s.log)
			}
			rotated := newAuthority(t, "rotated CA")
			writeTLS(t, dir, rotated.server(t), rotated.pem())
			if code, _, err := get(t, "https://"+s.Addr().String()+"/readyz", rotated.config(t, rotated.client(t))); code != 200 {
				t.Errorf("after good files came: %d, %v", code, err)
			}
		})
	}
}

func TestExpiredServerCertificateIsNotReady(t *testing.T) {
	ca := newAuthority(t, "test CA")
	expired := ca.issue(t, x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Minute))
	s := start(t, Config{TLS: writeTLS(t, t.TempDir(), expired, ca.pem())})
	code, body, err := get(t, "http://"+s.ProbeAddr().String()+"/readyz", nil)
	must(t, err)
	if code != 503 || !strings.Contains(body, "expired") {
		t.Errorf("GET /readyz = %d %q, want 503 that says expired", code, body)
	}
	if code, _, err := get(t, "http://"+s.ProbeAddr().String()+"/healthz", nil); code != 200 {
		t.Errorf("GET /healthz = %d, %v: a restart would not help", code, err)
	}
}
