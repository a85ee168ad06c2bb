package status

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"openshell.ai/openshell/pkg/nodeapi"
)

// Get returns the body of a request to the node's socket, e.g. "/v1/status".
// The caller closes it.
func Get(ctx context.Context, path string) (io.ReadCloser, error) {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", nodeapi.Socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("openshell-node does not answer: %w", err)
	}
	return response.Body, nil
}
