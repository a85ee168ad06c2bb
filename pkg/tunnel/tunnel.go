// Package tunnel carries bytes between a client and the SSH daemon of a
// sandbox through the gateway port: CONNECT /connect/ssh over HTTP/1.1, then
// the raw connection.
package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// The request: CONNECT Path with both headers.
const (
	Path          = "/connect/ssh"
	HeaderSandbox = "X-Sandbox-Id"
	HeaderToken   = "X-Sandbox-Token"
)

// How many tunnels may be open at once.
const (
	PerSession = 3
	PerSandbox = 20
)

// What Sessions and Sandboxes answer with where it is not a fault of theirs.
var (
	ErrUnauthorized = errors.New("the token is unknown, revoked or expired")
	ErrGone         = errors.New("the sandbox is gone")
	ErrNotReady     = errors.New("the sandbox is not ready")
)

// Refused is an HTTP answer other than 200: 401 for a token that does not
// count for the sandbox, 404 for a sandbox that is gone, 412 for one that is
// not ready, 429 for too many tunnels, 502 for one that cannot be reached, 503
// for a gateway that cannot tell.
type Refused struct {
	Status  int
	Message string // one line
}

func (r *Refused) Error() string {
	return fmt.Sprintf("gateway refused the tunnel: %s (HTTP %d)", r.Message, r.Status)
}

// readFirst is a connection of which some bytes were read already.
type readFirst struct {
	net.Conn
	from io.Reader // those bytes, then the connection
}

func (c readFirst) Read(p []byte) (int, error) { return c.from.Read(p) }

func (c readFirst) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite tells the other side that nothing more comes, and goes on
// reading. A connection that cannot do so is closed.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
