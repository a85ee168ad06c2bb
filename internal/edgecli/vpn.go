package edgecli

import "github.com/spf13/cobra"

func newVPN() *cobra.Command {
	return &cobra.Command{Use: "vpn", Short: "What OpenVPN calls"}
}
