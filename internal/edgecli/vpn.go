package edgecli

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/containers"
	"openshell.ai/openshell/pkg/edge/vpn"
)

// maxLog is how long OpenVPN's log gets, before what is older goes.
const maxLog = 1 << 20

func newVPN() *cobra.Command {
	cmd := &cobra.Command{Use: "vpn", Short: "What OpenVPN calls, and who may join"}
	cmd.AddCommand(newVPNAuth(), newVPNConnect(), newVPNDisconnect(), newVPNReady(), newVPNStatus(), newVPNClient())
	return cmd
}

// stateDir is where the scripts keep what survives the container.
func stateDir() string { return cmp.Or(os.Getenv("GATEWAY_STATE"), edge.StateDir) }

func newVPNAuth() *cobra.Command {
	return &cobra.Command{
		Use:   "auth FILE",
		Short: "Decide whether a client's id and token are a container's",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Each client that tries writes to the log, and comes by here first.
			if log := os.Getenv("VPN_LOG"); log != "" {
				if err := vpn.BoundLog(log, maxLog); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), "app-gateway: log of OpenVPN:", err)
				}
			}
			return vpn.HooksOf(stateDir(), runDir()).Auth(args[0])
		},
	}
}

func newVPNConnect() *cobra.Command {
	return &cobra.Command{
		Use:   "connect FILE",
		Short: "Give a client its address",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return vpn.HooksOf(stateDir(), runDir()).Connect(args[0], os.Getenv)
		},
	}
}

func newVPNDisconnect() *cobra.Command {
	return &cobra.Command{
		Use:   "disconnect",
		Short: "Forget that a client is connected",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return vpn.HooksOf(stateDir(), runDir()).Disconnect(os.Getenv)
		},
	}
}

func newVPNReady() *cobra.Command {
	return &cobra.Command{
		Use:   "ready SOCKET",
		Short: "Succeed when the daemon of a management socket has finished its start",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return vpn.Ready(cmd.Context(), args[0]) },
	}
}

func newVPNStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print the VPN's state and its clients as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := vpn.Status(runDir(), containers.Open(stateDir()))
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), status)
		},
	}
}

// listed is a registered container without what is secret.
type listed struct {
	ID       string               `json:"id"`
	Name     string               `json:"name"`
	Kind     string               `json:"kind,omitempty"`
	Address  string               `json:"address"`
	Services []containers.Service `json:"services"`
	Created  time.Time            `json:"created"`
}

func withoutSecrets(c containers.Container) listed {
	services := c.Services
	if services == nil {
		services = []containers.Service{}
	}
	return listed{c.ID, c.Name, c.Kind, c.Address.String(), services, c.Created}
}
