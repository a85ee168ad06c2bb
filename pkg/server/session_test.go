package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/tunnel"
)

// startTunnels runs a server over mutual TLS, with a sandbox web whose daemon
// echoes.
func startTunnels(t *testing.T) (*world, running, openshellv1.OpenShellClient, tunnel.Gateway) {
	t.Helper()
	w := newWorld(t)
	w.dial = func() net.Conn {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(there, there); there.Close() }()
		return here
	}
	w.add(t, "web", v1.PhaseReady)
	w.add(t, "other", v1.PhaseReady)
	ca, dir := newAuthority(t, "test CA"), t.TempDir()
	s := start(t, Config{
		TLS:           writeTLS(t, dir, ca.server(t), ca.pem()),
		NewController: func(*slog.Logger) (Controller, error) { return w, nil },
	})
	config := ca.config(t, ca.client(t))
	return w, s, openshellv1.NewOpenShellClient(dial(t, s, config)), tunnel.Gateway{Address: s.Addr().String(), TLS: config}
}

func openSession(t *testing.T, c openshellv1.OpenShellClient, id string) *openshellv1.CreateSshSessionResponse {
	t.Helper()
	session, err := c.CreateSshSession(t.Context(), &openshellv1.CreateSshSessionRequest{SandboxId: id})
	must(t, err)
	return session
}

func TestSessionOpensTunnels(t *testing.T) {
	_, s, c, g := startTunnels(t)
	session := openSession(t, c, "id-of-web")
	// The client goes by the name in the certificate, and names no port.
	if session.GetHostKey() != hostKey || !strings.HasPrefix(session.GetHostKeyFingerprint(), "SHA256:") ||
		session.GetConnectPath() != "/connect/ssh" || session.GetGatewayScheme() != "https" || session.GetSandboxId() != "id-of-web" ||
		session.GetGatewayHost() != "localhost" || session.GetGatewayPort() != 443 {
		t.Errorf("session = %v", session)
	}
	if left := time.Until(time.UnixMilli(session.GetExpiresAtMs())); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("expires in %v", left)
	}
	conn := openTunnel(t, g, session.GetToken())
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 4)
	if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != "ping" {
		t.Errorf("echo = %q, %v", echo, err)
	}
	if strings.Contains(s.log.String(), session.GetToken()) {
		t.Error("the token is in the log")
	}
}

func openTunnel(t *testing.T, g tunnel.Gateway, token string) net.Conn {
	t.Helper()
	conn, err := tunnel.Dial(deadlined(t, 10*time.Second), g, "id-of-web", token)
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestTunnelEndsWith(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*testing.T, running, openshellv1.OpenShellClient, string)
		then int // status of another tunnel; 0: the server is gone
	}{
		{"its session", func(t *testing.T, _ running, c openshellv1.OpenShellClient, token string) {
			got, err := c.RevokeSshSession(t.Context(), &openshellv1.RevokeSshSessionRequest{Token: token})
			if err != nil || !got.GetRevoked() {
				t.Fatal(got, err)
			}
			if got, err := c.RevokeSshSession(t.Context(), &openshellv1.RevokeSshSessionRequest{Token: token}); err != nil || got.GetRevoked() {
				t.Errorf("revoked twice: %v, %v", got, err)
			}
		}, 401},
		{"its sandbox", func(t *testing.T, _ running, c openshellv1.OpenShellClient, _ string) {
			_, err := c.DeleteSandbox(t.Context(), &openshellv1.DeleteSandboxRequest{Name: "web"})
			must(t, err)
		}, 404},
		{"its server", func(t *testing.T, s running, _ openshellv1.OpenShellClient, _ string) {
			began := time.Now()
			must(t, s.stop())
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("the stop took %v", took)
			}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, s, c, g := startTunnels(t)
			session := openSession(t, c, "id-of-web")
			conn := openTunnel(t, g, session.GetToken())
			tt.end(t, s, c, session.GetToken())
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the tunnel is open: %v", err)
			}
			w.unreachable(sandbox.ErrGone)
			_, err := tunnel.Dial(deadlined(t, 10*time.Second), g, "id-of-web", session.GetToken())
			var refused *tunnel.Refused
			if errors.As(err, &refused) != (tt.then != 0) || refused != nil && refused.Status != tt.then {
				t.Errorf("another tunnel: %v, want HTTP %d", err, tt.then)
			}
		})
	}
}

func TestTunnelRefusals(t *testing.T) {
	w, _, c, g := startTunnels(t)
	web, other := openSession(t, c, "id-of-web").GetToken(), openSession(t, c, "id-of-other").GetToken()
	for _, tt := range []struct {
		name, token string
		reach       error
		want        int
	}{
		{"another sandbox's token", other, nil, 401},
		{"unknown token", strings.Repeat("A", 43), nil, 401},
		{"no token at all", "x", nil, 401},
		{"not ready", web, fmt.Errorf("x: %w", sandbox.ErrNotReady), 412},
		{"gone", web, fmt.Errorf("x: %w", sandbox.ErrGone), 404},
		{"handshake failed", web, errors.New("ERR"), 502},
	} {
		w.unreachable(tt.reach)
		_, err := tunnel.Dial(deadlined(t, 10*time.Second), g, "id-of-web", tt.token)
		var refused *tunnel.Refused
		if !errors.As(err, &refused) || refused.Status != tt.want {
			t.Errorf("%s: %v, want HTTP %d", tt.name, err, tt.want)
		}
	}
}

func TestTokensOutliveTheServer(t *testing.T) {
	w, s, c, _ := startTunnels(t)
	token := openSession(t, c, "id-of-web").GetToken()
	must(t, s.stop())
	ca, dir := newAuthority(t, "test CA"), t.TempDir()
	again := start(t, Config{
		TLS:           writeTLS(t, dir, ca.server(t), ca.pem()),
		NewController: func(*slog.Logger) (Controller, error) { return w, nil },
	})
	openTunnel(t, tunnel.Gateway{Address: again.Addr().String(), TLS: ca.config(t, ca.client(t))}, token)
}

func TestTunnelsNeedAClientCertificate(t *testing.T) {
	_, _, c, g := startTunnels(t)
	token := openSession(t, c, "id-of-web").GetToken()
	g.TLS = g.TLS.Clone()
	g.TLS.GetClientCertificate = nil
	_, err := tunnel.Dial(deadlined(t, 10*time.Second), g, "id-of-web", token)
	if refused := (*tunnel.Refused)(nil); err == nil || errors.As(err, &refused) {
		t.Errorf("Dial() error = %v, want a refused connection", err)
	}
}

func TestSessionRefusals(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "new", v1.PhaseProvisioning)
	going := w.add(t, "going", v1.PhaseReady)
	must(t, w.Delete(t.Context(), going))
	stopped := w.add(t, "stopped", v1.PhaseReady)
	stopped.Spec.Stopped = true
	must(t, w.Update(t.Context(), stopped))
	for id, want := range map[string]codes.Code{
		"": codes.InvalidArgument, "a/b": codes.InvalidArgument, "nobody": codes.NotFound,
		"id-of-new": codes.FailedPrecondition, "id-of-going": codes.FailedPrecondition, "id-of-stopped": codes.FailedPrecondition,
	} {
		if _, err := c.CreateSshSession(t.Context(), &openshellv1.CreateSshSessionRequest{SandboxId: id}); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", id, err, want)
		}
	}
	var secrets corev1.SecretList
	must(t, w.List(t.Context(), &secrets))
	if len(secrets.Items) != 3 {
		t.Errorf("%d Secrets, want those of the sandboxes", len(secrets.Items))
	}
	if _, err := c.RevokeSshSession(t.Context(), &openshellv1.RevokeSshSessionRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("revoking nothing: %v", err)
	}
}

func TestGatewayAddressOfSessions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     Config
		headers []string
		host    string
		port    uint32
	}{
		{"as called", Config{}, []string{":authority", "gw.example:8443"}, "gw.example", 8443},
		{"as called without a port", Config{}, []string{":authority", "gw.example"}, "gw.example", 443},
		{"in plain without a port", Config{DisableTLS: true}, []string{":authority", "gw.example"}, "gw.example", 80},
		{"IPv6", Config{}, []string{":authority", "[::1]:8080"}, "::1", 8080},
		{"IPv6 without a port", Config{}, []string{":authority", "[::1]"}, "::1", 443},
		{"through JSON", Config{}, []string{":authority", "gateway", "x-forwarded-host", "localhost:8080"}, "localhost", 8080},
		{"nonsense", Config{}, []string{":authority", "a:b:c:99999"}, "a:b:c:99999", 443},
		{"configured", Config{Sandboxes: Sandboxes{SSHGatewayHost: "h", SSHGatewayPort: 7}}, []string{":authority", "x:1"}, "h", 7},
		{"host configured", Config{Sandboxes: Sandboxes{SSHGatewayHost: "h"}}, []string{":authority", "x:1"}, "h", 1},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(tt.headers...))
		if host, port := addressOf(tt.cfg).of(ctx); host != tt.host || port != tt.port {
			t.Errorf("%s: %s %d, want %s %d", tt.name, host, port, tt.host, tt.port)
		}
	}
}
