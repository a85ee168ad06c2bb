package edgecli

import "github.com/spf13/cobra"

func newClient() *cobra.Command {
	return &cobra.Command{Use: "client", Short: "Join a gateway's VPN from a user container"}
}
