package cli

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/spf13/cobra"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/gatewayclient"
)

func newSSHProxy(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	cmd := v.command(&cobra.Command{
		Use:     "ssh-proxy NAME [flags]",
		Short:   "Connect stdin and stdout to the SSH daemon of a sandbox",
		Example: `  openshell ssh-proxy --gateway openshell box`,
		Hidden:  true,
	}, v.oneSandbox(func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		// ssh hangs up when it is done; by then its end of stdin tells the same,
		// and the session can be given back.
		ignoreHangup()
		tunnel, err := client.Tunnel(ctx, s)
		if err != nil {
			return err
		}
		defer tunnel.Close()
		return relay(ctx, tunnel, deps.In, deps.Out)
	}))
	return cmd
}

// relay copies both ways until one of them ends: what is left of the other
// nobody waits for.
func relay(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) error {
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(conn, in)
		ended <- err
	}()
	go func() {
		_, err := io.Copy(out, conn)
		ended <- err
	}()
	select {
	case err := <-ended:
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
