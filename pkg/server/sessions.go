package server

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	"openshell.ai/openshell/pkg/server/session"
	"openshell.ai/openshell/pkg/server/translate"
	"openshell.ai/openshell/pkg/tunnel"
)

// CreateSshSession issues a token for the tunnel to a sandbox that is ready.
func (a *api) CreateSshSession(ctx context.Context, request *openshellv1.CreateSshSessionRequest) (*openshellv1.CreateSshSessionResponse, error) {
	s, err := a.ready(ctx, "sandbox_id", request.GetSandboxId())
	if err != nil {
		return nil, err
	}
	token, expires, err := a.sessions.Create(ctx, s)
	if err != nil {
		return nil, err
	}
	host, port := a.gateway.of(ctx)
	return &openshellv1.CreateSshSessionResponse{
		SandboxId: s.Spec.ID, Token: token, ExpiresAtMs: expires.UnixMilli(),
		GatewayScheme: a.gateway.scheme, GatewayHost: host, GatewayPort: port, ConnectPath: tunnel.Path,
		HostKey: s.Status.HostKey, HostKeyFingerprint: translate.Fingerprint(s.Status.HostKey),
	}, nil
}

// RevokeSshSession makes a token count no more and ends its tunnels. Whether it
// had counted is the answer.
func (a *api) RevokeSshSession(ctx context.Context, request *openshellv1.RevokeSshSessionRequest) (*openshellv1.RevokeSshSessionResponse, error) {
	if request.GetToken() == "" {
		return nil, &translate.Invalid{Field: "token", Problem: "it is empty"}
	}
	revoked, err := a.sessions.Revoke(ctx, request.GetToken())
	if err != nil {
		return nil, err
	}
	a.tunnels.EndSession(session.Name(request.GetToken()))
	return &openshellv1.RevokeSshSessionResponse{Revoked: revoked}, nil
}

// gatewayAddress is what clients are told of where the gateway is: what was
// configured, and else what they used themselves.
type gatewayAddress struct {
	scheme string // https or http
	host   string // empty: the client's
	port   uint32 // 0: the client's
}

func addressOf(cfg Config) gatewayAddress {
	g := gatewayAddress{scheme: "https", host: cfg.Sandboxes.SSHGatewayHost, port: uint32(cfg.Sandboxes.SSHGatewayPort)}
	if cfg.DisableTLS {
		g.scheme = "http"
	}
	return g
}

func (g gatewayAddress) of(ctx context.Context) (host string, port uint32) {
	host, port = splitAuthority(calledHost(ctx), g.scheme)
	if g.host != "" {
		host = g.host
	}
	if g.port != 0 {
		port = g.port
	}
	return host, port
}

// calledHost is the host, perhaps with a port, that the client called. That of a
// request which came as JSON stands in a header of its own.
func calledHost(ctx context.Context) string {
	headers, _ := metadata.FromIncomingContext(ctx)
	for _, name := range []string{"x-forwarded-host", ":authority"} {
		if values := headers.Get(name); len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

func splitAuthority(authority, scheme string) (host string, port uint32) {
	host, text, err := net.SplitHostPort(authority)
	if err != nil {
		host, text = strings.Trim(authority, "[]"), ""
	}
	if n, err := strconv.ParseUint(text, 10, 16); err == nil && n > 0 {
		return host, uint32(n)
	}
	if scheme == "http" {
		return host, 80
	}
	return host, 443
}

// tunnelSessions and tunnelSandboxes give package tunnel the words it knows.
type tunnelSessions struct{ *session.Store }

func (t tunnelSessions) Verify(ctx context.Context, token string) (string, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	id, err := t.Store.Verify(ctx, token)
	if errors.Is(err, session.ErrUnknown) {
		return "", tunnel.ErrUnauthorized
	}
	return id, err
}

type tunnelSandboxes struct{ *backend }

func (t tunnelSandboxes) Dial(ctx context.Context, id string) (net.Conn, error) {
	c, err := t.get(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.Dial(ctx, id)
	switch {
	case errors.Is(err, sandbox.ErrGone):
		return nil, tunnel.ErrGone
	case errors.Is(err, sandbox.ErrNotReady):
		return nil, tunnel.ErrNotReady
	}
	return conn, err
}
