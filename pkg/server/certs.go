package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certSource serves the TLS material of the files as they are now. A change is
// seen at the next handshake; material that cannot be used is reported once
// and the last good one stays in use.
type certSource struct {
	files      TLSFiles
	clientAuth tls.ClientAuthType
	log        *slog.Logger

	mu      sync.Mutex
	stamp   stamp // of the files last read, whether they were good or not
	current *tls.Config
	leaf    *x509.Certificate
}

// stamp tells two versions of the files apart. A mounted Secret is replaced as
// a whole, with new files.
type stamp [3]struct {
	modified time.Time
	size     int64
}

func newCertSource(cfg Config, log *slog.Logger) (*certSource, error) {
	s := &certSource{files: cfg.TLS, clientAuth: tls.RequireAndVerifyClientCert, log: log}
	if cfg.DisableGatewayAuth {
		s.clientAuth = tls.NoClientCert
		s.files.ClientCA = ""
	}
	now, err := s.stat()
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.stamp = now
	return s, nil
}

// serverConfig is for the listener: it defers to the material of the moment.
func (s *certSource) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refresh()
			return s.current, nil
		},
	}
}

// problem says why the material in use is not valid at the moment; nil when it is.
func (s *certSource) problem(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	switch {
	case now.Before(s.leaf.NotBefore):
		return fmt.Errorf("server certificate is not valid before %s", s.leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(s.leaf.NotAfter):
		return fmt.Errorf("server certificate expired at %s", s.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// refresh loads the files when they changed. Two stats of a memory file system
// cost less than the handshake they belong to by far, and need no watcher.
func (s *certSource) refresh() {
	now, err := s.stat()
	if err == nil && now == s.stamp {
		return
	}
	if err == nil {
		// Stamped before reading: a change in between is seen next time.
		s.stamp = now
		err = s.load()
	} else if s.stamp == (stamp{}) {
		return // reported when the files went away
	} else {
		s.stamp = stamp{}
	}
	if err != nil {
		s.log.Warn("TLS files changed and cannot be used; the former ones stay in use", "error", err)
		return
	}
	s.log.Info("TLS files changed and were loaded", "notAfter", s.leaf.NotAfter.UTC())
}

func (s *certSource) stat() (stamp, error) {
	var now stamp
	for i, path := range []string{s.files.Cert, s.files.Key, s.files.ClientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return stamp{}, fmt.Errorf("TLS files: %w", err)
		}
		now[i].modified, now[i].size = info.ModTime(), info.Size()
	}
	return now, nil
}

func (s *certSource) load() error {
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return fmt.Errorf("server certificate %s with key %s: %w", s.files.Cert, s.files.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		ClientAuth:   s.clientAuth,
		// A resumed session would outlive the CA its client was verified with.
		SessionTicketsDisabled: true,
	}
	if s.files.ClientCA != "" {
		pem, err := os.ReadFile(s.files.ClientCA)
		if err != nil {
			return fmt.Errorf("client CA: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("client CA %s holds no PEM certificate", s.files.ClientCA)
		}
	}
	s.current, s.leaf = config, pair.Leaf
	return nil
}
