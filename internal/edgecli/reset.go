package edgecli

import "github.com/spf13/cobra"

func newReset() *cobra.Command {
	return &cobra.Command{Use: "reset", Short: "Follow a reset"}
}
