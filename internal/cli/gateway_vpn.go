package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

func newGatewayVPN(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "vpn",
		Short: "Look at a gateway's VPN and let clients join it",
		Example: `  openshell gateway vpn status
  openshell gateway vpn client-config laptop --out laptop.json`,
	})
	for _, sub := range []*cobra.Command{newGatewayVPNStatus(deps), newGatewayVPNClientConfig(deps)} {
		sub.DisableFlagsInUseLine = true
		cmd.AddCommand(sub)
	}
	return cmd
}

func newGatewayVPNStatus(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	return v.command(&cobra.Command{
		Use:   "status [NAME] [flags]",
		Short: "Say whether a gateway's VPN is up, and list its clients",
		Example: `  openshell gateway vpn status
  openshell gateway vpn status work -o json`,
	}, v.runVPNStatus)
}

func (v *verb) runVPNStatus(ctx context.Context) error {
	return v.deps.withEngine(ctx, func(engine Engine) error {
		vpn, err := engine.VPN(ctx, v.on)
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, vpn)
		}
		where := "not published"
		if vpn.Published != "" {
			where = vpn.Published + "/udp"
		}
		if err := render.Table(v.deps.Out, nil, [][]string{{"vpn", vpn.State}, {"published", where}, {"clients", strconv.Itoa(len(vpn.Clients))}}); err != nil {
			return err
		}
		if len(vpn.Clients) == 0 {
			return nil
		}
		fmt.Fprintln(v.deps.Out)
		rows := make([][]string, len(vpn.Clients))
		for i, c := range vpn.Clients {
			rows[i] = []string{c.Name, c.Address.String(), connection(c), services(c)}
		}
		return render.Table(v.deps.Out, []string{"NAME", "ADDRESS", "CONNECTED", "SERVICES"}, rows)
	})
}

func connection(c edgeapi.VPNClient) string {
	if !c.Connected {
		return "no"
	}
	return "since " + c.Since.UTC().Format(time.RFC3339)
}

func services(c edgeapi.VPNClient) string {
	words := make([]string, len(c.Services))
	for i, s := range c.Services {
		words[i] = fmt.Sprintf("%s:%d", s.Host, s.Port)
	}
	return orDash(words)
}
