package k8s_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

// api is an API server reached through pipes only, over mutual TLS.
type api struct {
	kubeconfig string
	dials      atomic.Int32
	refuse     atomic.Int32 // dials to refuse first
	conns      chan net.Conn
	closed     sync.WaitGroup // client ends that were closed
}

func newAPI(t *testing.T, handler http.HandlerFunc) *api {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA(pki.Subject{CommonName: "api"}, now)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(spec pki.LeafSpec) pki.KeyPair {
		pair, err := ca.Issue(spec, now)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	pair := issue(pki.LeafSpec{CommonName: "server", SANs: []string{"127.0.0.1"}, Usage: pki.Server})
	admin := issue(pki.LeafSpec{CommonName: "admin", Organization: []string{"system:masters"}, Usage: pki.Client})
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	a := &api{conns: make(chan net.Conn), kubeconfig: kubeconfig(ca.CertPEM(), admin.Cert, admin.Key)}
	server := &http.Server{
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // refused handshakes are part of the tests
		Handler:   handler,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
	}
	done, stop := context.WithCancel(context.Background())
	go server.ServeTLS(listener{a.conns, done, stop}, "", "")
	t.Cleanup(func() { server.Close() })
	return a
}

func (a *api) dial(ctx context.Context) (net.Conn, error) {
	a.dials.Add(1)
	if a.refuse.Add(-1) >= 0 {
		return nil, errors.New("exec: the API does not listen yet")
	}
	client, server := net.Pipe()
	select {
	case a.conns <- server:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a.closed.Add(1)
	return k8s.StreamConn(&tracked{ReadWriteCloser: client, closed: a.closed.Done}), nil
}

// tracked reports its first Close.
type tracked struct {
	io.ReadWriteCloser
	once   sync.Once
	closed func()
}

func (c *tracked) Close() error {
	c.once.Do(c.closed)
	return c.ReadWriteCloser.Close()
}

type listener struct {
	conns chan net.Conn
	done  context.Context
	close context.CancelFunc
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done.Done():
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error {
	l.close()
	return nil
}

func (listener) Addr() net.Addr { return &net.TCPAddr{} }

func kubeconfig(ca, cert, key []byte) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: default
contexts: [{name: default, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: "%s"}}]
users: [{name: u, user: {client-certificate-data: "%s", client-key-data: "%s"}}]
`, b64(ca), b64(cert), b64(key))
}

func answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/api/v1/namespaces":
		io.WriteString(w, `{"kind":"NamespaceList","apiVersion":"v1","items":[]}`)
	case "/version":
		w.Header().Set("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
		io.WriteString(w, `{}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	}
}

func connect(t *testing.T, ctx context.Context, a *api) *k8s.Cluster {
	t.Helper()
	c, err := k8s.Connect(ctx, a.dial, []byte(a.kubeconfig), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConnectDialsThroughTheStreamOnce(t *testing.T) {
	ctx := t.Context()
	var accept atomic.Value
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		accept.Store(r.Header.Get("Accept"))
		answer(w, r)
	})
	c := connect(t, ctx, a)
	if a.dials.Load() != 0 {
		t.Error("Connect dialled already")
	}
	// Each request has a context of its own, which ends before the next.
	for range 3 {
		request, cancel := context.WithCancel(ctx)
		if err := c.WaitReadable(request); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if _, found, err := c.Secret(ctx, "openshell", "s"); found || err != nil {
		t.Errorf("found %v, error %v", found, err)
	}
	if got := a.dials.Load(); got != 1 {
		t.Errorf("%d connections for 4 requests", got)
	}
	if got, _ := accept.Load().(string); !strings.HasPrefix(got, "application/vnd.kubernetes.protobuf") {
		t.Errorf("accepts %q", got)
	}
	at, err := c.ServerTime(ctx)
	if want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("server time %v, error %v", at, err)
	}
}

func TestConnectionsEndWithTheCluster(t *testing.T) {
	a := newAPI(t, answer)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := connect(t, ctx, a), connect(t, t.Context(), a)
	for _, c := range []*k8s.Cluster{first, second} {
		if err := c.WaitReadable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	second.Close()
	a.closed.Wait() // hangs if a connection stays open
}

func TestWaitReadableRetriesUntilTheAPIListens(t *testing.T) {
	var early atomic.Int32
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if early.Add(1) <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		answer(w, r)
	})
	a.refuse.Store(3)
	if err := connect(t, t.Context(), a).WaitReadable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.dials.Load(); got != 4 {
		t.Errorf("%d dials, want 4", got)
	}
}

func TestWaitReadableGivesUpOnAnAnswerAndAtTheEnd(t *testing.T) {
	refused := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","message":"Unauthorized","code":401}`)
	})
	if err := connect(t, t.Context(), refused).WaitReadable(t.Context()); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("401: %v", err)
	}
	if got := refused.dials.Load(); got != 1 {
		t.Errorf("401 was retried: %d dials", got)
	}

	impostor, real := newAPI(t, answer), newAPI(t, answer)
	impostor.kubeconfig = real.kubeconfig
	var authority x509.UnknownAuthorityError
	if err := connect(t, t.Context(), impostor).WaitReadable(t.Context()); !errors.As(err, &authority) {
		t.Errorf("server of another CA: %v", err)
	}

	silent := newAPI(t, answer)
	silent.refuse.Store(1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := connect(t, t.Context(), silent).WaitReadable(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not listen yet") {
		t.Errorf("at the deadline: %v", err)
	}
}

// TestKubeconfigCannotActOnTheHost: the kubeconfig comes out of the container.
func TestKubeconfigCannotActOnTheHost(t *testing.T) {
	good := kubeconfig([]byte("ca"), []byte("cert"), []byte("key"))
	bad := map[string]string{
		"empty":            "",
		"not YAML":         "\t{",
		"no context":       strings.Replace(good, "current-context: default", "current-context: other", 1),
		"no cluster":       strings.Replace(good, "cluster: c,", "cluster: x,", 1),
		"no user":          strings.Replace(good, "user: u}", "user: x}", 1),
		"plain http":       strings.Replace(good, "https://", "http://", 1),
		"no server":        strings.Replace(good, "https://127.0.0.1:6443", "", 1),
		"CA file":          strings.Replace(good, "certificate-authority-data", "certificate-authority", 1),
		"key file":         strings.Replace(good, "client-key-data: ", "client-key: ", 1),
		"plugin":           strings.Replace(good, "client-key-data: ", `exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: ["/tmp/x"]}, x: `, 1),
		"token file":       strings.Replace(good, "client-certificate-data: ", "tokenFile: ", 1),
		"no verification":  strings.Replace(good, "certificate-authority-data", "insecure-skip-tls-verify: true, x", 1),
		"unusable pair":    good,
		"key in the error": strings.Replace(good, "apiVersion: v1", "apiVersion: [", 1),
	}
	for name, text := range bad {
		_, err := k8s.Connect(t.Context(), func(context.Context) (net.Conn, error) { return nil, errors.New("dialled") }, []byte(text), nil)
		if err == nil || !strings.HasPrefix(err.Error(), "kubeconfig: ") {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("key"))) {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}

func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte(kubeconfig([]byte("ca"), []byte("cert"), []byte("key"))))
	f.Add([]byte("apiVersion: v1\nkind: Config\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := k8s.Connect(t.Context(), nil, data, nil)
		if err == nil {
			c.Close()
		}
	})
}
