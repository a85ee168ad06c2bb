package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/version"
)

const testSecret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// running is a server under test.
type running struct {
	*Server
	log  *syncBuffer
	stop func() error // ends the server and returns what Serve returned
}

func start(t *testing.T, cfg Config) running {
	t.Helper()
	cfg.Listen, cfg.ProbeListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Handshake = testSecret
	log := &syncBuffer{}
	s, err := Listen(t.Context(), cfg, slog.New(slog.NewTextHandler(log, nil)))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Serve(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-result })
	t.Cleanup(func() { _ = stop() })
	return running{s, log, stop}
}

func startTLS(t *testing.T) (running, authority, string) {
	t.Helper()
	ca, dir := newAuthority(t, "test CA"), t.TempDir()
	return start(t, Config{TLS: writeTLS(t, dir, ca.server(t), ca.pem())}), ca, dir
}

func dial(t *testing.T, s running, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(creds))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func callHealth(t *testing.T, conn *grpc.ClientConn) (*openshellv1.HealthResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return openshellv1.NewOpenShellClient(conn).Health(ctx, &openshellv1.HealthRequest{})
}

func get(t *testing.T, url string, config *tls.Config) (int, string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, strings.TrimSpace(string(body)), nil
}

func TestHealthOverMutualTLS(t *testing.T) {
	s, ca, _ := startTLS(t)
	got, err := callHealth(t, dial(t, s, ca.config(t, ca.client(t))))
	must(t, err)
	if got.GetStatus() != openshellv1.ServiceStatus_SERVICE_STATUS_HEALTHY || got.GetVersion() != version.Version {
		t.Errorf("Health() = %v", got)
	}
}

func TestStandardHealthService(t *testing.T) {
	s, ca, _ := startTLS(t)
	client := healthpb.NewHealthClient(dial(t, s, ca.config(t, ca.client(t))))
	for _, service := range []string{"", "openshell.v1.OpenShell"} {
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		must(t, err)
		if got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("Check(%q) = %v", service, got)
		}
	}
}

func TestServerWithoutKubernetesSaysSo(t *testing.T) {
	s, ca, _ := startTLS(t)
	client := openshellv1.NewOpenShellClient(dial(t, s, ca.config(t, ca.client(t))))
	_, err := client.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("GetSandbox() error = %v, want UNIMPLEMENTED", err)
	}
}

func TestHTTPEndpoints(t *testing.T) {
	s, ca, _ := startTLS(t)
	config := ca.config(t, ca.client(t))
	for _, tt := range []struct {
		name, url string
		want      int
	}{
		{"healthz over mTLS", "https://" + s.Addr().String() + "/healthz", 200},
		{"readyz over mTLS", "https://" + s.Addr().String() + "/readyz", 200},
		{"healthz for the kubelet", "http://" + s.ProbeAddr().String() + "/healthz", 200},
		{"readyz for the kubelet", "http://" + s.ProbeAddr().String() + "/readyz", 200},
		{"unknown path", "https://" + s.Addr().String() + "/", 404},
		{"plain HTTP on the gateway port", "http://" + s.Addr().String() + "/readyz", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body, err := get(t, tt.url, config.Clone())
			must(t, err)
			if code != tt.want {
				t.Errorf("GET %s = %d %q, want %d", tt.url, code, body, tt.want)
			}
		})
	}
}

func TestDisableTLSServesPlain(t *testing.T) {
	s := start(t, Config{DisableTLS: true})
	if _, err := callHealth(t, dial(t, s, nil)); err != nil {
		t.Errorf("Health() in plain: %v", err)
	}
	if code, body, err := get(t, "http://"+s.Addr().String()+"/readyz", nil); code != 200 {
		t.Errorf("GET /readyz = %d %q, %v", code, body, err)
	}
}

func TestDisableGatewayAuthNeedsNoClientCertificate(t *testing.T) {
	ca := newAuthority(t, "test CA")
	files := writeTLS(t, t.TempDir(), ca.server(t), ca.pem())
	files.ClientCA = ""
	s := start(t, Config{TLS: files, DisableGatewayAuth: true})
	if _, err := callHealth(t, dial(t, s, ca.config(t))); err != nil {
		t.Errorf("Health() without a client certificate: %v", err)
	}
}

func TestStopEndsIdleConnectionsAndStreamsInTime(t *testing.T) {
	s, ca, _ := startTLS(t)
	conn := dial(t, s, ca.config(t, ca.client(t)))
	stream, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	must(t, err)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := callHealth(t, dial(t, s, ca.config(t, ca.client(t)))); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Errorf("Serve() = %v after a stop", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stop took %v, more than 2 s", took)
	}
}

func TestListenRefusesWhatItCannotServe(t *testing.T) {
	ca := newAuthority(t, "test CA")
	good := func(t *testing.T) Config {
		files := writeTLS(t, t.TempDir(), ca.server(t), ca.pem())
		return Config{Listen: "127.0.0.1:0", ProbeListen: "127.0.0.1:0", TLS: files, Handshake: testSecret}
	}
	busy := start(t, Config{DisableTLS: true})
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no handshake secret", func(c *Config) { c.Handshake = "" }, "handshake secret is missing"},
		{"no certificate", func(c *Config) { c.TLS.Cert += ".absent" }, "tls.crt.absent"},
		{"key of another certificate", func(c *Config) {
			c.TLS.Key = writeTLS(t, t.TempDir(), ca.server(t), ca.pem()).Key
		}, "does not match"},
		{"client CA without a certificate", func(c *Config) { c.TLS.ClientCA = c.TLS.Key }, "holds no PEM certificate"},
		{"gateway port taken", func(c *Config) { c.Listen = busy.Addr().String() }, "gateway port"},
		{"probe port taken", func(c *Config) { c.ProbeListen = busy.Addr().String() }, "probe port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good(t)
			tt.edit(&cfg)
			_, err := Listen(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Listen() error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

// syncBuffer is a log that may be read while the server writes it.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
