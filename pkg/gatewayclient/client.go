// Package gatewayclient talks to a gateway as a user's client does: by its gRPC
// API, and through it by SSH to its sandboxes.
package gatewayclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/hostconfig"
)

const (
	dialTime   = 3 * time.Second // a gateway is on this machine, or near
	revokeTime = 2 * time.Second

	// A laptop that slept, or a network that went, shows only by silence.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// serverName is a name every server certificate has, whatever address the
// gateway is reached at.
const serverName = "localhost"

// ErrUnreachable is in the chain of an error that says no more than that the
// gateway gave no answer.
var ErrUnreachable = errors.New("no answer from the gateway")

// Gateway says where a gateway answers and what it is trusted by.
type Gateway struct {
	Name     gateway.Name // for messages
	Endpoint string       // https://127.0.0.1:8080
	Bundle   hostconfig.Bundle
}

// Client is a connection to a gateway. Errors of its calls are of package
// fault, with the gRPC status in their chain.
type Client struct {
	openshellv1.OpenShellClient

	gateway Gateway
	address string // host:port
	tls     *tls.Config
	conn    *grpc.ClientConn

	revoking sync.WaitGroup
}

// Dial connects, and fails within seconds when nothing answers as the gateway
// would. opts come after those that make a connection one to a gateway.
func Dial(ctx context.Context, g Gateway, opts ...grpc.DialOption) (*Client, error) {
	u, err := url.Parse(g.Endpoint)
	if err != nil || u.Scheme != "https" || u.Port() == "" {
		return nil, fault.New(fault.HostFiles, fault.ExitFailure, "the endpoint %q of gateway %s is not of the form https://HOST:PORT", g.Endpoint, g.Name).
			Hint("`openshell gateway start %s` writes it again", g.Name)
	}
	config, err := clientTLS(g.Bundle)
	if err != nil {
		return nil, unreachable(g, fault.Unhealthy, err)
	}
	c := &Client{gateway: g, address: u.Host, tls: config}
	seen := &firstError{}
	c.conn, err = grpc.NewClient("passthrough:///"+c.address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(seen.credentials(config)),
		// No proxy: the endpoint is this machine, or was named on purpose.
		grpc.WithNoProxy(),
		grpc.WithContextDialer(seen.dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithUnaryInterceptor(c.unary),
		grpc.WithStreamInterceptor(c.stream),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("gateway %s: %w", g.Name, err)
	}
	c.OpenShellClient = openshellv1.NewOpenShellClient(c.conn)
	if err := c.awaitReady(ctx, seen); err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}

// awaitReady returns when the gateway has answered, or with why it does not.
func (c *Client) awaitReady(ctx context.Context, seen *firstError) error {
	wait, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	c.conn.Connect()
	for {
		state := c.conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if state == connectivity.TransientFailure || !c.conn.WaitForStateChange(wait, state) {
			break
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := seen.get()
	if err == nil {
		err = fmt.Errorf("silent for %s", dialTime)
	}
	id := fault.NotRunning
	var verification *tls.CertificateVerificationError
	var alert *net.OpError
	if errors.As(err, &verification) || errors.As(err, &alert) && alert.Op == "remote error" {
		id = fault.Unhealthy // somebody is there, and one does not trust the other
	}
	return unreachable(c.gateway, id, err)
}

// Close ends the connection, after what is being revoked.
func (c *Client) Close() error {
	c.revoking.Wait() // each takes revokeTime at most
	return c.conn.Close()
}

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

func unreachable(g Gateway, id fault.ID, cause error) error {
	return fault.New(id, fault.ExitNotRunning, "gateway %s does not answer at %s", g.Name, g.Endpoint).
		Hint("`openshell gateway start %s` brings it back", g.Name).
		Hint("`openshell gateway status %s` says how it is", g.Name).
		Because(noAnswer{cause})
}

// noAnswer is ErrUnreachable in the words of its cause.
type noAnswer struct{ error }

func (noAnswer) Is(target error) bool { return target == ErrUnreachable }

func (e noAnswer) Unwrap() error { return e.error }

// dialTCP is shared by the API and by tunnels.
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime}
	return dialer.DialContext(ctx, "tcp", address)
}
