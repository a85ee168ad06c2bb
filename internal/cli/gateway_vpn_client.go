package cli

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

type clientConfigOptions struct {
	bootstrap.ClientOptions
	deps *Deps
	name nameFlag
	on   gateway.Name
	out  string
	port *int
}

func newGatewayVPNClientConfig(deps *Deps) *cobra.Command {
	opts := &clientConfigOptions{deps: deps}
	cmd := &cobra.Command{
		Use:   "client-config CLIENT [flags]",
		Short: "Register a VPN client and print the one file it joins with",
		Long: `Register a client of a gateway's VPN and print its package: one JSON file with
the keys and the token it joins with. The gateway keeps no copy of the token, and
whoever has the file can join in the client's name.

The package says where the client finds the gateway: by default where this host
does, or, when the VPN port is not published, by the name that the gateway has on
its Docker network.`,
		Example: `  openshell gateway vpn client-config laptop --out laptop.json
  openshell gateway vpn client-config box --remote gw.example.org --port 49101 > box.json`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) != 1 {
				return usageError(cmd, "`%s` takes the name of one client", cmd.CommandPath())
			}
			opts.Client = args[0]
			if opts.on, err = opts.name.resolve(cmd, deps, nil); err != nil {
				return err
			}
			return opts.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	opts.name.add(cmd, deps)
	remotesFlag(flags, &opts.Remotes, "remote", "`host` where the client reaches the gateway; may be repeated")
	portFlag(flags, &opts.port, "port", "UDP port there (default: the published one)")
	flags.BoolVar(&opts.Renew, "renew", false, "give a registered client another package; the former ones are refused")
	flags.StringVar(&opts.out, "out", "", "write the package to this `file`, readable by you alone")
	for _, flag := range []string{"remote", "port"} {
		mustRegister(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

func remotesFlag(flags *pflag.FlagSet, target *[]string, name, usage string) {
	parse := func(s string) (string, bool) {
		if _, err := netip.ParseAddr(s); err == nil {
			return s, true
		}
		hosts, ok := parseHosts(s)
		return s, ok && len(hosts) == 1
	}
	flags.Var(&value[string]{flag: name, kind: "host", accepted: "a DNS name or an IP address, without a port", parse: parse,
		set: func(s string) { *target = append(*target, s) }}, name, usage)
}

func (o *clientConfigOptions) run(ctx context.Context) error {
	if o.port != nil {
		o.Port = *o.port
	}
	return o.deps.withEngine(ctx, func(engine Engine) error {
		p, err := engine.VPNClient(ctx, o.on, o.ClientOptions)
		if err != nil {
			return err
		}
		if p.Inside {
			fmt.Fprintf(o.deps.Err, "note: the VPN port is not published: the package is for containers on network %s; `openshell gateway start %s --vpn-port 49100` publishes it\n", p.Network, o.on)
		}
		if o.out == "" {
			_, err = o.deps.Out.Write(p.JSON)
			return err
		}
		if err := durable.WriteFile(o.out, p.JSON, 0o600); err != nil {
			return fault.New(fault.HostFiles, fault.ExitFailure, "the package of VPN client %s could not be written", o.Client).
				Hint("give it another: `openshell gateway vpn client-config %s --renew --name %s`", o.Client, o.on).Because(err)
		}
		_, err = fmt.Fprintf(o.deps.Out, "the package of VPN client %s, which reaches the gateway at %s, is in %s\n", o.Client, p.Remote, o.out)
		return err
	})
}
