package edgecli

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge/nginx"
)

func newNginx() *cobra.Command {
	cmd := &cobra.Command{Use: "nginx", Short: "Render nginx's configuration"}
	cmd.AddCommand(newNginxBase(), newNginxUpdate())
	return cmd
}

func newNginxBase() *cobra.Command {
	return &cobra.Command{
		Use:   "base",
		Short: "Make the configuration without services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := nginx.SettingsFrom(os.Getenv)
			if err != nil {
				return err
			}
			result, err := nginx.Base(cmd.Context(), settings)
			return printNginx(cmd, result, err)
		},
	}
}

func newNginxUpdate() *cobra.Command {
	return &cobra.Command{
		Use:   "update",
		Short: `Lead to the services on standard input, "host ip port" a line, and no others`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := nginx.SettingsFrom(os.Getenv)
			if err != nil {
				return err
			}
			services, err := nginx.Parse(cmd.InOrStdin(), settings.Pods)
			if err != nil {
				return err
			}
			result, err := nginx.Update(cmd.Context(), settings, services)
			return printNginx(cmd, result, err)
		},
	}
}

func printNginx(cmd *cobra.Command, result nginx.Result, err error) error {
	if err != nil {
		return err
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
}
