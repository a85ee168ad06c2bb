package k8s

import (
	"io"
	"net"
	"time"
)

// StreamConn makes a connection of a byte stream, for example the standard
// streams of a process in the container. Deadlines have no effect: requests
// are bounded by their contexts, which close the stream.
func StreamConn(stream io.ReadWriteCloser) net.Conn { return streamConn{stream} }

type streamConn struct{ io.ReadWriteCloser }

func (streamConn) LocalAddr() net.Addr              { return streamAddr{} }
func (streamConn) RemoteAddr() net.Addr             { return streamAddr{} }
func (streamConn) SetDeadline(time.Time) error      { return nil }
func (streamConn) SetReadDeadline(time.Time) error  { return nil }
func (streamConn) SetWriteDeadline(time.Time) error { return nil }

type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "container" }
