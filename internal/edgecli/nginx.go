package edgecli

import "github.com/spf13/cobra"

func newNginx() *cobra.Command {
	return &cobra.Command{Use: "nginx", Short: "Render nginx's configuration"}
}
