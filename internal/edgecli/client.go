package edgecli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge/client"
)

func newClient() *cobra.Command {
	cmd := &cobra.Command{Use: "client", Short: "Join a gateway's VPN from a user container"}
	cmd.AddCommand(newClientRun())
	return cmd
}

func newClientRun() *cobra.Command {
	var openvpn string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run PACKAGE",
		Short: "Join with a package, stay joined, and tell the gateway which services there are",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := client.ReadPackage(args[0])
			if err != nil {
				return err
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return client.Agent{Package: p, OpenVPN: openvpn, Log: log}.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&openvpn, "openvpn", "", "OpenVPN's `program` (default: openvpn of the PATH)")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log what OpenVPN says")
	return cmd
}
