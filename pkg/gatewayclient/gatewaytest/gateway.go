//go:build !windows

// Package gatewaytest is a gateway for tests of clients: the gRPC API and
// tunnels over mTLS on a port of this machine. Its sandboxes are directories,
// and their processes run on this machine.
package gatewaytest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/pki"
	"openshell.ai/openshell/pkg/tunnel"
)

// Gateway is a gateway that can be stopped and started again.
type Gateway struct {
	openshellv1.UnimplementedOpenShellServer

	Name   gateway.Name
	Bundle hostconfig.Bundle // of its client
	dir    string            // of its sandboxes
	certs  *tls.Config
	addr   string // host:port once started

	server *http.Server
	grpc   *grpc.Server
	tunnel *tunnel.Handler

	mu        sync.Mutex
	sandboxes map[string]*Sandbox // by name
	order     []string
	tokens    map[string]string // token -> id
	made      int
	routes    map[string]*openshellv1.Route // by host
	httpPort  int
}

// New makes a gateway whose sandboxes keep their files under dir.
func New(name gateway.Name, dir string) (*Gateway, error) {
	now := time.Now()
	ca, err := pki.NewCA(pki.Subject{CommonName: "test"}, now)
	if err != nil {
		return nil, err
	}
	server, err := ca.Issue(pki.LeafSpec{CommonName: "server", SANs: []string{"localhost", "127.0.0.1"}, Usage: pki.Server}, now)
	if err != nil {
		return nil, err
	}
	client, err := ca.Issue(pki.LeafSpec{CommonName: "client", Usage: pki.Client}, now)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(server.Cert, server.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	return &Gateway{
		Name: name, dir: dir,
		Bundle: hostconfig.Bundle{CA: ca.CertPEM(), Cert: client.Cert, Key: client.Key},
		certs: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
			NextProtos: []string{"h2", "http/1.1"},
		},
		sandboxes: map[string]*Sandbox{}, tokens: map[string]string{}, routes: map[string]*openshellv1.Route{},
	}, nil
}

// Start listens, on the same port every time. Sandboxes that ran run again.
func (g *Gateway) Start() error {
	at := g.addr
	if at == "" {
		at = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	g.addr = listener.Addr().String()
	g.grpc = grpc.NewServer()
	openshellv1.RegisterOpenShellServer(g.grpc, g)
	g.tunnel = tunnel.NewHandler(sessions{g}, dialer{g}, slog.New(slog.DiscardHandler))
	g.server = &http.Server{TLSConfig: g.certs, Handler: http.HandlerFunc(g.serve), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go g.server.Serve(tls.NewListener(listener, g.certs)) // it ends with Close
	return nil
}

// Stop ends everything but the files and the keys of sandboxes.
func (g *Gateway) Stop() {
	if g.server == nil {
		return
	}
	g.tunnel.Close()
	g.server.Close()
	g.grpc.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sandboxes {
		s.end()
	}
}

// Endpoint is https://127.0.0.1:PORT.
func (g *Gateway) Endpoint() string { return "https://" + g.addr }

// WriteFiles makes the gateway known in a configuration directory.
func (g *Gateway) WriteFiles(configHome string) error {
	store := hostconfig.New(filepath.Join(configHome, "openshell"))
	port := g.certsPort()
	_, err := store.WriteMetadata(g.Name, hostconfig.Metadata{Name: g.Name, Endpoint: g.Endpoint(), Port: port, Bind: "127.0.0.1", HTTPPort: g.httpPort, Version: "test"})
	_, bundleErr := store.WriteBundle(g.Name, g.Bundle)
	return errors.Join(err, bundleErr)
}

func (g *Gateway) certsPort() (port int) {
	_, text, _ := net.SplitHostPort(g.addr)
	fmt.Sscan(text, &port) // a listener's address has a port
	return port
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		g.grpc.ServeHTTP(w, r)
	case r.RequestURI == tunnel.Path:
		g.tunnel.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Sandbox finds one by its name; nil: there is none.
func (g *Gateway) Sandbox(name string) *Sandbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sandboxes[name]
}

// Tokens is how many sessions are open.
func (g *Gateway) Tokens() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tokens)
}

func (g *Gateway) byID(id string) *Sandbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sandboxes {
		if s.id == id {
			return s
		}
	}
	return nil
}

type sessions struct{ *Gateway }

func (s sessions) Name(token string) string { return "name of " + token }

func (s sessions) Verify(_ context.Context, token string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.tokens[token]; ok {
		return id, nil
	}
	return "", tunnel.ErrUnauthorized
}

type dialer struct{ *Gateway }

func (d dialer) Dial(ctx context.Context, id string) (net.Conn, error) {
	s := d.byID(id)
	if s == nil {
		return nil, tunnel.ErrGone
	}
	return s.dial(ctx)
}

// newHostKey is a fresh key, in the two forms it is needed in.
func newHostKey() (ssh.Signer, string, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, "", err
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}

func (g *Gateway) makeWorkspace(id string) (string, error) {
	dir := filepath.Join(g.dir, id)
	return dir, os.MkdirAll(dir, 0o700)
}
