package edgecli

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge/release"
)

const (
	requestLimit  = 5 * time.Second
	responseLimit = 5 * time.Minute
	maxHeader     = 8 << 10
)

func newBuildServe() *cobra.Command {
	var dir, listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the current build until a signal",
		Long: `Serve the current build: its manifest, the signature, and the archive that the
manifest names. The first line of the output is the address, as a JSON object.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			address := map[string]string{"address": listener.Addr().String()}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(address); err != nil {
				listener.Close()
				return err
			}
			server := &http.Server{
				Handler:           release.Handler(dir),
				ReadHeaderTimeout: requestLimit,
				ReadTimeout:       requestLimit,
				WriteTimeout:      responseLimit,
				MaxHeaderBytes:    maxHeader,
			}
			stop := context.AfterFunc(cmd.Context(), func() { server.Close() })
			defer stop()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	flag(cmd, &dir, "dir", "directory of builds")
	cmd.Flags().StringVar(&listen, "listen", ":7180", "address to listen on; port 0 is a free one")
	return cmd
}
