package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/session"
	"openshell.ai/openshell/pkg/tunnel"
)

// Times of a server. Clients behind a laptop that slept vanish without a
// word, so idle connections are pinged.
const (
	stopGrace         = time.Second // for requests in flight, of a stop budget of 2 s
	readHeaderTimeout = 10 * time.Second
	idlePing          = 30 * time.Second
	pingTimeout       = 15 * time.Second
	maxHeaders        = 64 << 10
)

// keepAlive ends a tunnel whose client has vanished.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: idlePing, Interval: pingTimeout, Count: 4}
}

// Server is a gateway server with its ports open.
type Server struct {
	log    *slog.Logger
	certs  *certSource // nil: plain
	grpc   *grpc.Server
	health *health.Server

	backend  *backend
	sessions *session.Store
	tunnels  *tunnel.Handler
	rest     *restAPI

	gateway, probes                *http.Server
	gatewayListener, probeListener net.Listener
}

// Listen checks the TLS files and opens both ports. Nothing answers before Serve.
func Listen(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Handshake == "" {
		return nil, errors.New("handshake secret is missing")
	}
	namespace := cmp.Or(cfg.Controller.Namespace, sandboxapi.Namespace)
	s := &Server{log: log, backend: newBackend(cfg.NewController, namespace, log)}
	s.sessions = newSessions(s.backend, namespace)
	s.tunnels = tunnel.NewHandler(tunnelSessions{s.sessions}, tunnelSandboxes{s.backend}, log)
	var err error
	if !cfg.DisableTLS {
		if s.certs, err = newCertSource(cfg, log); err != nil {
			return nil, err
		}
	}
	s.grpc, s.health = newGRPC(&api{
		backend: s.backend, sessions: s.sessions, tunnels: s.tunnels, log: log,
		namespace: namespace, image: cfg.Sandboxes.Image, gateway: addressOf(cfg),
	})
	if s.rest, err = newREST(ctx, s.grpc); err != nil {
		return nil, err
	}
	s.gateway = s.newHTTP(s.gatewayHandler())
	s.probes = s.newHTTP(s.healthEndpoints())
	if s.certs != nil {
		s.gateway.TLSConfig = s.certs.serverConfig()
	} else {
		s.gateway.Protocols = new(http.Protocols)
		s.gateway.Protocols.SetHTTP1(true)
		s.gateway.Protocols.SetUnencryptedHTTP2(true) // gRPC speaks HTTP/2 only
	}

	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	if s.gatewayListener, err = lc.Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("gateway port: %w", err)
	}
	if s.probeListener, err = lc.Listen(ctx, "tcp", cfg.ProbeListen); err != nil {
		_ = s.gatewayListener.Close() // nothing was served on it
		return nil, fmt.Errorf("probe port: %w", err)
	}
	return s, nil
}

// Addr is the address of the gateway port.
func (s *Server) Addr() net.Addr { return s.gatewayListener.Addr() }

// ProbeAddr is the address of the plain port for probes.
func (s *Server) ProbeAddr() net.Addr { return s.probeListener.Addr() }

// Serve answers until ctx is done, then lets requests in flight end for a
// second and returns nil. Any other end is an error.
func (s *Server) Serve(ctx context.Context) error {
	s.log.Info("serving", "gateway", s.Addr().String(), "probes", s.ProbeAddr().String(), "tls", s.certs != nil)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if s.certs == nil {
			return ended("gateway port", s.gateway.Serve(s.gatewayListener))
		}
		return ended("gateway port", s.gateway.ServeTLS(s.gatewayListener, "", ""))
	})
	group.Go(func() error { return ended("probe port", s.probes.Serve(s.probeListener)) })
	group.Go(s.rest.serve)
	group.Go(func() error { s.backend.run(ctx); return nil })
	if s.backend.start != nil {
		group.Go(func() error { s.sessions.Run(ctx, s.log); return nil })
	}
	group.Go(func() error {
		<-ctx.Done()
		return s.stop(context.WithoutCancel(ctx))
	})
	return group.Wait()
}

func (s *Server) stop(ctx context.Context) error {
	start := time.Now()
	s.health.Shutdown()
	s.tunnels.Close() // which Shutdown knows nothing of
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	err := s.gateway.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.grpc.Stop() // ends streams
		err = s.gateway.Close()
	}
	s.grpc.Stop() // ends what came as JSON
	s.log.Info("stopped", "after", time.Since(start).Round(time.Millisecond).String())
	return errors.Join(err, s.probes.Close())
}

func ended(what string, err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (s *Server) newHTTP(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		MaxHeaderBytes:    maxHeaders,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: idlePing, PingTimeout: pingTimeout},
		ErrorLog:          log.New(connectionLog{s.log}, "", 0),
	}
}

// gatewayHandler splits the gateway port: gRPC says so in its content type, the
// rest by its path.
func (s *Server) gatewayHandler() http.Handler {
	endpoints := s.healthEndpoints()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			s.grpc.ServeHTTP(w, r)
		case r.URL.Path == tunnel.Path, r.ProtoMajor == 2 && r.Method == http.MethodConnect: // the latter has no path
			s.tunnels.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, restPrefix):
			s.rest.ServeHTTP(w, r)
		default:
			endpoints.ServeHTTP(w, r)
		}
	})
}

// healthEndpoints are /healthz, which a live process answers, and /readyz,
// which also needs TLS material a client would accept.
func (s *Server) healthEndpoints() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.certs != nil {
			if err := s.certs.problem(time.Now()); err != nil {
				say(w, http.StatusServiceUnavailable, err.Error())
				return
			}
		}
		say(w, http.StatusOK, "ok")
	})
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client may be gone
}

// connectionLog takes the lines net/http writes about connections. Those of
// port checks, which connect and leave, would fill the log.
type connectionLog struct{ log *slog.Logger }

func (c connectionLog) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	if !bytes.HasSuffix(text, []byte(": EOF")) && !bytes.HasSuffix(text, []byte("connection reset by peer")) {
		c.log.Info("connection", "message", string(text))
	}
	return len(line), nil
}
