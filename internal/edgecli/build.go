package edgecli

import (
	"encoding/json"
	"path/filepath"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/release"
)

func newBuild() *cobra.Command {
	cmd := &cobra.Command{Use: "build", Short: "Pack, serve and fetch builds"}
	cmd.AddCommand(newBuildKeygen(), newBuildPack(), newBuildServe(), newBuildFetch())
	return cmd
}

func newBuildKeygen() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make the key that signs builds, and its public part",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return release.WriteKeys(out) },
	}
	flag(cmd, &out, "out", "directory for build.key and build.pub")
	return cmd
}

func newBuildPack() *cobra.Command {
	var from, out, keyFile, commit string
	cmd := &cobra.Command{
		Use:   "pack",
		Short: "Pack and sign a release",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := release.ReadPrivateKey(keyFile)
			if err != nil {
				return err
			}
			manifest, err := release.Pack(from, out, commit, key)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(manifest)
		},
	}
	flag(cmd, &from, "from", "directory of the release: app and bin")
	flag(cmd, &out, "out", "directory of builds")
	flag(cmd, &keyFile, "key", "file of the private key")
	flag(cmd, &commit, "commit", "what the release was made from")
	return cmd
}

func newBuildFetch() *cobra.Command {
	var url, keyFile, root string
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Fetch the current build, verify it and switch to it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := release.ReadPublicKey(keyFile)
			if err != nil {
				return err
			}
			installed, err := release.Install(cmd.Context(), release.Source{URL: url, Key: key}, root)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(installed)
		},
	}
	flag(cmd, &url, "url", "where builds are served, http://HOST:PORT")
	cmd.Flags().StringVar(&keyFile, "public-key", filepath.Join(edge.StateDir, release.PublicKeyFile), "file of the public key")
	cmd.Flags().StringVar(&root, "root", edge.Root, "directory of releases")
	return cmd
}

// flag adds a flag that must be given.
func flag(cmd *cobra.Command, value *string, name, usage string) {
	cmd.Flags().StringVar(value, name, "", usage)
	if err := cmd.MarkFlagRequired(name); err != nil {
		panic(err) // it was added in the line above
	}
}
