package edgehost

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge/process"
)

const (
	certFile = "tls.crt"
	keyFile  = "tls.key"

	serverSecret = "openshell-server-tls"
	followEvery  = 10 * time.Second
)

// Secrets reads Secrets of the gateway's namespace. *health.Client does.
type Secrets interface {
	Secret(ctx context.Context, name string) (map[string][]byte, error)
}

// Certificate writes the files of the gateway's certificate that nginx serves,
// if it is to. Without them the edge must not start: an error is tried again,
// and is never a reason to serve plain HTTP.
func (h *Host) Certificate(ctx context.Context, secrets Secrets) error {
	_, err := h.updateCertificate(ctx, secrets)
	return err
}

// FollowCertificate lets nginx serve what becomes of the certificate, until ctx
// ends: a start repairs it, or adds a name to it, only after the node has booted.
func (h *Host) FollowCertificate(ctx context.Context, secrets Secrets) {
	if !h.settings.HTTPTLS {
		return
	}
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(followEvery):
		}
		changed, err := h.updateCertificate(ctx, secrets)
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			slog.Warn("the edge's certificate stays as it is", "reason", err)
		}
		if changed {
			h.reload()
		}
	}
}

func (h *Host) updateCertificate(ctx context.Context, secrets Secrets) (changed bool, err error) {
	if !h.settings.HTTPTLS {
		return false, nil
	}
	h.certificate.Lock()
	defer h.certificate.Unlock()
	data, err := secrets.Secret(ctx, serverSecret)
	if err != nil {
		return false, fmt.Errorf("edge: certificate of the web port: %w", err)
	}
	// nginx would refuse to start with halves that do not fit.
	if _, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"]); err != nil {
		return false, fmt.Errorf("edge: certificate of the web port: secret %s: %w", serverSecret, err)
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{keyFile, data["tls.key"]}, {certFile, data["tls.crt"]}} {
		path := filepath.Join(h.run, file.name)
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, file.data) {
			continue
		}
		if err := durable.WriteFile(path, file.data, 0o600); err != nil {
			return changed, fmt.Errorf("edge: certificate of the web port: %w", err)
		}
		changed = true
	}
	return changed, nil
}

// reloadNginx lets it read the certificate, with the configuration that it has;
// one that does not run reads it when it starts.
func (h *Host) reloadNginx() {
	if nginx, err := process.Read(filepath.Join(h.run, "nginx.pid")); err == nil && nginx.Runs() {
		slog.Info("the certificate has changed: nginx reads it again")
		_ = syscall.Kill(nginx.PID, syscall.SIGHUP) // it has just ended
	}
}
