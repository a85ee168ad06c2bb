package gatewayclient

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/sandboxssh"
	"openshell.ai/openshell/pkg/tunnel"
)

// Tunnel is a connection to a sandbox's SSH daemon, which must show HostKey.
type Tunnel struct {
	net.Conn
	HostKey ssh.PublicKey

	revoke func()
}

// CloseWrite ends what is sent; what is received goes on.
func (t *Tunnel) CloseWrite() error {
	half, ok := t.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Close ends the connection, and in the background the session.
func (t *Tunnel) Close() error {
	err := t.Conn.Close()
	t.revoke()
	return err
}

const (
	settleTime = 30 * time.Second // for a sandbox that is coming up
	settlePoll = 200 * time.Millisecond
)

// Tunnel opens a session of a sandbox, and a connection with it. A sandbox that
// is coming up, as all do when their gateway has come back, is waited for.
func (c *Client) Tunnel(ctx context.Context, s *datamodelv1.Sandbox) (*Tunnel, error) {
	for deadline := time.Now().Add(settleTime); ; {
		t, err := c.open(ctx, s)
		if err == nil || !fault.HasID(err, fault.SandboxNotReady) || time.Now().After(deadline) || !c.comingUp(ctx, s) {
			return t, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(settlePoll):
		}
	}
}

// comingUp reports that a sandbox will be ready by itself. One that is said to
// be ready already was so before its gateway went away.
func (c *Client) comingUp(ctx context.Context, s *datamodelv1.Sandbox) bool {
	answer, err := c.GetSandbox(ctx, &openshellv1.GetSandboxRequest{Name: s.GetName()})
	if err != nil || answer.GetSandbox().GetId() != s.GetId() || answer.GetSandbox().GetStatus().GetStopped() {
		return false
	}
	switch answer.GetSandbox().GetPhase() {
	case datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING, datamodelv1.SandboxPhase_SANDBOX_PHASE_READY:
		return true
	}
	return false
}

func (c *Client) open(ctx context.Context, s *datamodelv1.Sandbox) (*Tunnel, error) {
	session, err := c.CreateSshSession(ctx, &openshellv1.CreateSshSessionRequest{SandboxId: s.GetId()})
	if err != nil {
		return nil, err
	}
	revoke := c.revocation(session.GetToken())
	key, err := sandboxssh.ParseHostKey(session.GetHostKey())
	if err != nil {
		revoke()
		return nil, fault.New(fault.GatewayError, fault.ExitFailure, "gateway %s gave no usable host key of sandbox %s", c.gateway.Name, s.GetName()).Because(err)
	}
	conn, err := tunnel.Dial(ctx, tunnel.Gateway{Address: c.address, TLS: c.tls}, s.GetId(), session.GetToken())
	if err != nil {
		revoke()
		return nil, c.tunnelFault(ctx, err)
	}
	return &Tunnel{Conn: conn, HostKey: key, revoke: revoke}, nil
}

// Connect speaks SSH to a sandbox. The session ends with the connection.
func (c *Client) Connect(ctx context.Context, s *datamodelv1.Sandbox) (*sandboxssh.Client, error) {
	t, err := c.Tunnel(ctx, s)
	if err != nil {
		return nil, err
	}
	client, err := sandboxssh.Connect(ctx, t, t.HostKey)
	if err != nil {
		t.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fault.New(fault.ConnectionLost, fault.ExitFailure, "sandbox %s could not be connected to", s.GetName()).
			Hint("`openshell sandbox get %s` says how it is", s.GetName()).Because(err)
	}
	return client, nil
}

// revocation gives a token back, once, in the background. A token that stays
// because the gateway is gone expires by itself.
func (c *Client) revocation(token string) func() {
	return sync.OnceFunc(func() {
		c.revoking.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), revokeTime)
			defer cancel()
			_, _ = c.RevokeSshSession(ctx, &openshellv1.RevokeSshSessionRequest{Token: token})
		})
	})
}

func (c *Client) tunnelFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var answer *tunnel.Refused
	if errors.As(err, &answer) {
		return refused(answer)
	}
	return unreachable(c.gateway, fault.NotRunning, err)
}
