package gatewayclient

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// firstError remembers what went wrong first on a connection: gRPC tries again
// by itself, and says why only in the error of a call.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *firstError) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := dialTCP(ctx, address)
	if err != nil {
		f.add(err)
		return nil, err
	}
	return conn, nil
}

func (f *firstError) credentials(config *tls.Config) credentials.TransportCredentials {
	return observed{credentials.NewTLS(config), f}
}

// observed are credentials whose handshakes, and the first reads after them,
// are looked at: a server says only then that it does not accept a client.
type observed struct {
	credentials.TransportCredentials
	seen *firstError
}

func (o observed) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := o.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		o.seen.add(err)
		return nil, nil, err
	}
	return observedConn{conn, o.seen}, info, nil
}

func (o observed) Clone() credentials.TransportCredentials {
	return observed{o.TransportCredentials.Clone(), o.seen}
}

type observedConn struct {
	net.Conn
	seen *firstError
}

func (c observedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.seen.add(err)
	}
	return n, err
}
