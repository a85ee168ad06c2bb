package edgecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

const (
	controlLimit = 5 * time.Second
	maxControl   = 16 << 20
)

func newControl() *cobra.Command {
	cmd := &cobra.Command{Use: "control", Short: "Ask the running app-gateway"}
	cmd.AddCommand(
		newAsk("routes", "Print the names that nginx leads to, and those that are wanted", edgeapi.RoutesPath),
		newAsk("vpn", "Print the state of the VPN and its clients", edgeapi.VPNPath),
		newAsk("state", "Print what the gateway is doing", edgeapi.StatePath),
	)
	return cmd
}

func newAsk(use, short, path string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), filepath.Join(runDir(), filepath.Base(edge.ControlSocket)), path)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(doc)
			return err
		},
	}
}

// ask answers the JSON document at a path of the control socket.
func ask(ctx context.Context, socket, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, controlLimit)
	defer cancel()
	control := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app-gateway"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := control.Do(request)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, errors.New("app-gateway does not run")
		}
		return nil, err
	}
	defer response.Body.Close()
	doc, err := io.ReadAll(io.LimitReader(response.Body, maxControl))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		var refusal edgeapi.Error
		_ = json.Unmarshal(doc, &refusal) // the status says enough
		return nil, fmt.Errorf("app-gateway answers %s: %s", response.Status, refusal.Error)
	}
	return doc, nil
}
