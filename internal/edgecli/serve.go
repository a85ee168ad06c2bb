package edgecli

import "github.com/spf13/cobra"

func newServe() *cobra.Command {
	return &cobra.Command{Use: "serve", Short: "Run app-gateway"}
}
