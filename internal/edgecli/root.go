// Package edgecli is the command line of app-gateway: the process itself, and
// what the edge's scripts call where a shell would need a parser.
package edgecli

import (
	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/version"
)

// New builds the command tree.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "app-gateway",
		Short:         "The edge of a gateway: routes, VPN clients, builds",
		Version:       version.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newServe(), newControl(), newNginx(), newVPN(), newClient(), newBuild(), newReset(), newLog())
	return root
}
