package cli

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/edge/release"
	"openshell.ai/openshell/pkg/gateway"
)

type reloadResult struct {
	Name gateway.Name `json:"name"`
	bootstrap.Reloaded
}

type reloadOptions struct {
	verb
	bootstrap.ReloadOptions
	keyFile string
}

func newGatewayReload(deps *Deps) *cobra.Command {
	opts := &reloadOptions{verb: verb{deps: deps}}
	cmd := opts.command(&cobra.Command{
		Use:   "reload [NAME] [flags]",
		Short: "Run another build of a gateway's app-gateway and scripts",
		Long: `Fetch the current build from a build server, verify its signature, and run it in
the place of the gateway's app-gateway and scripts. VPN and routes stay. A build
that cannot be had, is refused or does not come up changes nothing.

A gateway takes builds by one public key alone. --build-key names the one by which
this build is verified; it is the gateway's from then on if the build answers.`,
		Example: `  openshell gateway reload
  openshell gateway reload work --build-server 192.168.1.10:7180
  openshell gateway reload --build-key build.pub`,
	}, opts.run)
	flags := cmd.Flags()
	flags.SortFlags = false
	serverFlag(flags, &opts.Server, "build-server", "`HOST[:PORT]` that serves builds (default: this machine, as the gateway sees it, port 7180)")
	flags.StringVar(&opts.keyFile, "build-key", "", "`file` of the public key by which the gateway takes this build and, if it answers, all later ones")
	mustRegister(cmd, "build-server", cobra.NoFileCompletions)
	return cmd
}

func serverFlag(flags *pflag.FlagSet, target *string, name, usage string) {
	flags.Var(&value[string]{flag: name, kind: "server", accepted: "a host or an address, and if wanted a port, such as 192.168.1.10:7180",
		parse: parseServer, set: func(s string) { *target = s }}, name, usage)
}

func parseServer(s string) (string, bool) {
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if _, ok := parsePort(1)(port); !ok {
			return "", false
		}
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return s, true
	}
	hosts, ok := parseHosts(host)
	return s, ok && len(hosts) == 1
}

// maxKey is more than any public key has.
const maxKey = 4096

func (o *reloadOptions) readKey() error {
	if o.keyFile == "" {
		return nil
	}
	const accepted = "a file with an ed25519 public key in PEM, as `app-gateway build keygen` makes in build.pub"
	key, err := os.ReadFile(o.keyFile)
	if err != nil {
		return badValue("build-key", o.keyFile, accepted).Because(err)
	}
	if len(key) > maxKey || strings.Contains(string(key), "PRIVATE") {
		return badValue("build-key", o.keyFile, accepted)
	}
	if _, err := release.ParsePublicKey(key); err != nil {
		return badValue("build-key", o.keyFile, accepted).Because(err)
	}
	o.Key = key
	return nil
}

func (o *reloadOptions) run(ctx context.Context) error {
	if err := o.readKey(); err != nil {
		return err
	}
	return o.deps.withEngine(ctx, func(engine Engine) error {
		progress := o.deps.progress(o.output)
		did, err := engine.ReloadEdge(ctx, o.on, o.ReloadOptions, progress)
		progress.Close()
		if err != nil {
			return err
		}
		if o.output.json() {
			return render.JSON(o.deps.Out, reloadResult{Name: o.on, Reloaded: did})
		}
		sentence := fmt.Sprintf("gateway %s runs build %s (%s)", o.on, did.Commit, short(did.SHA256))
		if !did.Changed {
			sentence = fmt.Sprintf("gateway %s runs build %s (%s) already", o.on, did.Commit, short(did.SHA256))
		}
		_, err = fmt.Fprintln(o.deps.Out, sentence)
		return err
	})
}
