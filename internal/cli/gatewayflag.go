package cli

import (
	"context"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/gatewayclient"
)

// gatewayFlag is --gateway, of commands whose arguments name sandboxes.
type gatewayFlag struct{ value string }

func (f *gatewayFlag) add(cmd *cobra.Command, deps *Deps) {
	cmd.Flags().StringVarP(&f.value, "gateway", "g", "", "the gateway's `name`")
	mustRegister(cmd, "gateway", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return completeNames(cmd.Context(), deps), cobra.ShellCompDirectiveNoFileComp
	})
}

// resolve follows the rule of every verb: --gateway, $OPENSHELL_GATEWAY, the
// selected gateway, "openshell".
func (f *gatewayFlag) resolve(cmd *cobra.Command, deps *Deps) (gateway.Name, error) {
	if cmd.Flags().Changed("gateway") {
		return gateway.ParseName(f.value)
	}
	return chosenGateway(deps)
}

// dial connects to a gateway by what is on this host. What is not there is
// fs.ErrNotExist.
func (d *Deps) dial(ctx context.Context, name gateway.Name) (*gatewayclient.Client, error) {
	host, err := d.Host()
	if err != nil {
		return nil, err
	}
	meta, err := host.Metadata(name)
	if err != nil {
		return nil, err
	}
	bundle, err := host.Bundle(name)
	if err != nil {
		return nil, err
	}
	return gatewayclient.Dial(ctx, gatewayclient.Gateway{Name: name, Endpoint: meta.Endpoint, Bundle: bundle}, d.Dial...)
}

// withGateway connects, runs use and ends the connection.
func (d *Deps) withGateway(ctx context.Context, name gateway.Name, use func(*gatewayclient.Client) error) error {
	client, err := d.dial(ctx, name)
	if err != nil {
		return noFiles(name, err)
	}
	defer client.Close()
	return use(client)
}
