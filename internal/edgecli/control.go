package edgecli

import "github.com/spf13/cobra"

func newControl() *cobra.Command {
	return &cobra.Command{Use: "control", Short: "Ask the running app-gateway"}
}
