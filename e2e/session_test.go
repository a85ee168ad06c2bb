//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Session is a token for a sandbox, as a client of the gateway API has it.
type Session struct {
	g      *Gateway
	id     string // of the sandbox
	Token  string `json:"token"`
	Path   string `json:"connectPath"`
	client *tls.Config
}

func newSession(t *testing.T, b *Box) *Session {
	t.Helper()
	s := &Session{g: b.g, id: b.info(t).ID, client: b.g.clientTLS(t)}
	s.call(t, "CreateSshSession", fmt.Sprintf(`{"sandbox_id": %q}`, s.id)).Exits(t, 0).JSON(t, s)
	if len(s.Token) < 32 || s.Path != "/connect/ssh" {
		t.Fatalf("a session with a token of %d characters and path %q", len(s.Token), s.Path)
	}
	return s
}

// call calls the gateway API with a client that only knows the contract.
func (s *Session) call(t *testing.T, method, request string) Result {
	t.Helper()
	return s.g.grpc(t, method, request)
}

// answers ends the test unless the token leads to the sandbox's SSH daemon.
func (s *Session) answers(t *testing.T) {
	t.Helper()
	if status, banner := s.connect(t, s.id, s.Token); status != http.StatusOK || !strings.HasPrefix(banner, "SSH-2.0-") {
		t.Errorf("the token of the beginning: status %d, %q", status, banner)
	}
}

func (s *Session) revoke(t *testing.T) {
	t.Helper()
	if status, _ := s.connect(t, s.id+"x", s.Token); status != http.StatusUnauthorized {
		t.Errorf("token for another sandbox: status %d", status)
	}
	if status, _ := s.connect(t, s.id, s.Token+"x"); status != http.StatusUnauthorized {
		t.Errorf("unknown token: status %d", status)
	}
	s.call(t, "RevokeSshSession", fmt.Sprintf(`{"token": %q}`, s.Token)).Exits(t, 0).Says(t, "true")
	if status, _ := s.connect(t, s.id, s.Token); status != http.StatusUnauthorized {
		t.Errorf("revoked token: status %d", status)
	}
}

// connect asks for the tunnel; banner is the first line behind it.
func (s *Session) connect(t *testing.T, id, token string) (status int, banner string) {
	t.Helper()
	conn := tls.Client(s.g.dial(t), s.client)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nX-Sandbox-Id: %s\r\nX-Sandbox-Token: %s\r\n\r\n", s.Path, s.g.Address(), id, token); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, ""
	}
	banner, err = r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, banner
}

// clientTLS is what a client of the gateway needs, from the bundle on disk.
func (g *Gateway) clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(g.Bundle("tls.crt"), g.Bundle("tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(g.Bundle("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
}

// dial connects to the gateway port, in the network of the gateway's engine.
func (g *Gateway) dial(t *testing.T) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	if g.engine == nil {
		conn, err = net.Dial("tcp", g.Address())
	} else {
		conn, err = dialWithin("/run/netns/"+g.engine.name, g.Address())
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// dialWithin connects in a network namespace: a socket belongs to that of the thread
// that made it. The thread is given back as it was. It may be the process's
// first, which cannot be ended, and by which others tell where the process is.
func dialWithin(namespace, address string) (net.Conn, error) {
	there, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err == nil {
		defer home.Close()
		err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	conn, err := net.Dial("tcp", address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back) // a thread that is lost to others stays locked
	}
	runtime.UnlockOSThread()
	return conn, err
}
