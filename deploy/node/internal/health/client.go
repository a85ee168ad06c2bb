// Package health looks at the node from the inside: the Kubernetes API, the
// node's conditions, the workload, its Secrets and the published port. It asks
// the API with plain requests, because openshell-node must stay small: it is
// PID 1, and every exec of the CLI starts it.
package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
)

const requestTimeout = 3 * time.Second

// errAbsent is a 404 of the API.
var errAbsent = errors.New("not found")

// Client reads from the node's API server.
type Client struct {
	http *http.Client
}

// NewClient uses the certificates of this boot.
func NewClient() (*Client, error) {
	pair, err := tls.LoadX509KeyPair(layout.Cert(certs.Health), layout.Key(certs.Health))
	if err != nil {
		return nil, fmt.Errorf("health credentials: %w", err)
	}
	ca, err := os.ReadFile(certs.CACert)
	if err != nil {
		return nil, fmt.Errorf("health credentials: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &Client{http: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		},
	}}, nil
}

// Readable succeeds once the API answers reads. It is earlier than /readyz,
// which waits for start-up hooks that nothing here needs.
func (c *Client) Readable(ctx context.Context) error {
	return c.get(ctx, "/api/v1/namespaces/default", nil, errAbsent)
}

// Secret returns the data of a Secret in the gateway's namespace.
func (c *Client) Secret(ctx context.Context, name string) (map[string][]byte, error) {
	return secret(ctx, c, name)
}

// get reads an object into out, which may be nil. A 404 is errAbsent, which a
// caller may name in fine.
func (c *Client) get(ctx context.Context, path string, out any, fine ...error) error {
	url := fmt.Sprintf("https://127.0.0.1:%d%s", nodeapi.APIServerPort, path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() {
		// A body that is not read to its end is an error in the API's log.
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}()
	switch response.StatusCode {
	case http.StatusOK:
		if out == nil {
			return nil
		}
		return json.NewDecoder(response.Body).Decode(out)
	case http.StatusNotFound:
		for _, f := range fine {
			if errors.Is(errAbsent, f) {
				return nil
			}
		}
		return errAbsent
	default:
		return fmt.Errorf("the API answers %s", response.Status)
	}
}
