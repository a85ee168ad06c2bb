package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/portforward"
	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

func newForward(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "forward",
		Short: "Reach ports of sandboxes by ports of this host",
		Long: `Reach ports of sandboxes by ports of this host. A forward runs in the background,
on 127.0.0.1 only. It waits through restarts of the gateway, and ends when its
sandbox is deleted, when it is stopped, and with this machine.`,
		Example: `  openshell forward start box 8000
  openshell forward list
  openshell forward stop box`,
	})
	addTo(cmd, "", newForwardStart(deps), newForwardList(deps), newForwardStop(deps))
	return cmd
}

// forwardGateways are the gateways whose forwards are meant: the one that is
// named, else all that this host knows, for they share its ports.
func (v *sandboxVerb) forwardGateways(cmd *cobra.Command) ([]gateway.Name, error) {
	if cmd.Flags().Changed("gateway") {
		return []gateway.Name{v.on}, nil
	}
	host, err := v.deps.Host()
	if err != nil {
		return nil, err
	}
	return host.Names()
}

// forwards are the running ones of some gateways.
func (d *Deps) forwards(gateways []gateway.Name) ([]portforward.Report, error) {
	host, err := d.Host()
	if err != nil {
		return nil, err
	}
	all := []portforward.Report{} // [] rather than null
	for _, name := range gateways {
		dir, err := host.ForwardsDir(name)
		if err != nil {
			return nil, err
		}
		reports, err := portforward.List(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, reports...)
	}
	return all, nil
}

func newForwardList(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the port forwards of this host",
		Example: `  openshell forward list
  openshell forward list -o json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}), func(cmd *cobra.Command, _ []string) error {
		gateways, err := v.forwardGateways(cmd)
		if err != nil {
			return err
		}
		reports, err := deps.forwards(gateways)
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(deps.Out, reports)
		}
		if len(reports) == 0 {
			_, err := fmt.Fprintln(deps.Err, "no forwards; `openshell forward start NAME PORT` makes one")
			return err
		}
		rows := make([][]string, len(reports))
		for i, r := range reports {
			state := "connected"
			if !r.Connected {
				state = "waiting for the sandbox"
			}
			rows[i] = []string{fmt.Sprintf("127.0.0.1:%d", r.Local), r.Sandbox, strconv.Itoa(r.Port), r.Gateway, state, strconv.Itoa(r.Open)}
		}
		return render.Table(deps.Out, []string{"LOCAL", "SANDBOX", "PORT", "GATEWAY", "STATUS", "CONNECTIONS"}, rows)
	})
}

type forwardStopOptions struct {
	sandboxVerb
	all bool
}

func newForwardStop(deps *Deps) *cobra.Command {
	o := &forwardStopOptions{sandboxVerb: sandboxVerb{deps: deps}}
	cmd := o.command(o.reports(&cobra.Command{
		Use:   "stop NAME [LOCAL-PORT...] [flags]",
		Short: "Stop forwards to a sandbox",
		Long:  `Stop the forwards to a sandbox: all of them, or those of some local ports.`,
		Example: `  openshell forward stop box
  openshell forward stop box 8000
  openshell forward stop --all`,
		ValidArgsFunction: o.completeForward,
	}), o.run)
	cmd.Flags().BoolVar(&o.all, "all", false, "stop every forward of this host, or of --gateway")
	return cmd
}

// completeForward completes sandboxes with forwards, then their ports.
func (o *forwardStopOptions) completeForward(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	gateways, err := o.forwardGateways(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	reports, _ := o.deps.forwards(gateways) // completions cannot report errors
	seen := map[string]bool{}
	for _, r := range reports {
		word := cobra.CompletionWithDesc(strconv.Itoa(r.Local), fmt.Sprintf("to port %d", r.Port))
		switch {
		case len(args) == 0:
			word = r.Sandbox
		case args[0] != r.Sandbox:
			continue
		}
		if !seen[word] {
			words = append(words, word)
		}
		seen[word] = true
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (o *forwardStopOptions) run(cmd *cobra.Command, args []string) error {
	if o.all == (len(args) > 0) {
		return usageError(cmd, "`%s` needs the name of a sandbox, or --all", cmd.CommandPath()).
			Hint("`openshell forward list` shows the forwards there are")
	}
	gateways, err := o.forwardGateways(cmd)
	if err != nil {
		return err
	}
	running, err := o.deps.forwards(gateways)
	if err != nil {
		return err
	}
	stop := running
	if !o.all {
		if stop, err = chooseForwards(running, args[0], args[1:]); err != nil {
			return err
		}
	}
	host, err := o.deps.Host()
	if err != nil {
		return err
	}
	for _, r := range stop {
		dir, err := host.ForwardsDir(gateway.Name(r.Gateway))
		if err == nil {
			err = portforward.Stop(dir, r.Local)
		}
		if err != nil && !fault.HasID(err, fault.ForwardAbsent) { // it ended by itself meanwhile
			return err
		}
		if !o.output.json() {
			fmt.Fprintf(o.deps.Out, "port %d is no longer forwarded to %s\n", r.Local, r.Sandbox)
		}
	}
	switch {
	case o.output.json():
		return render.JSON(o.deps.Out, append([]portforward.Report{}, stop...))
	case len(stop) == 0:
		_, err = fmt.Fprintln(o.deps.Err, "no forwards to stop")
	}
	return err
}

// chooseForwards picks those of a sandbox, and of ports if any are given.
func chooseForwards(running []portforward.Report, sandbox string, ports []string) ([]portforward.Report, error) {
	var chosen []portforward.Report
	for _, r := range running {
		if r.Sandbox == sandbox && len(ports) == 0 {
			chosen = append(chosen, r)
		}
	}
	for _, text := range ports {
		port, ok := parsePort(1)(text)
		if !ok {
			return nil, fault.New(fault.BadValue, fault.ExitUsage, "%q is not a port from 1 to 65535", text)
		}
		found := false
		for _, r := range running {
			if r.Sandbox == sandbox && r.Local == port {
				chosen, found = append(chosen, r), true
			}
		}
		if !found {
			return nil, fault.New(fault.ForwardAbsent, fault.ExitFailure, "no forward of port %d to sandbox %s is running", port, sandbox).
				Hint("`openshell forward list` shows those there are")
		}
	}
	if len(chosen) == 0 {
		return nil, fault.New(fault.ForwardAbsent, fault.ExitFailure, "no forward to sandbox %s is running", sandbox).
			Hint("`openshell forward list` shows those there are")
	}
	return chosen, nil
}

// whoHas names the forward that has a port, if one of ours does.
func (d *Deps) whoHas(port int) string {
	host, err := d.Host()
	if err != nil {
		return ""
	}
	names, err := host.Names()
	if err != nil {
		return ""
	}
	reports, _ := d.forwards(names) // only for a better message
	for _, r := range reports {
		if r.Local == port {
			return fmt.Sprintf("the forward to port %d of sandbox %s", r.Port, r.Sandbox)
		}
	}
	return ""
}

// portInUse is a port of this host that is taken.
func (d *Deps) portInUse(port int, cause error) error {
	by := d.whoHas(port)
	if by == "" {
		by = "another process"
	}
	return fault.New(fault.PortInUse, fault.ExitConflict, "port %d of 127.0.0.1 is taken by %s", port, by).
		Hint("choose another one for this host: LOCAL:PORT").
		Hint("`openshell forward list` shows what is forwarded").Because(cause)
}

// forwardFailed gives an error of serving a forward its form.
func (d *Deps) forwardFailed(ctx context.Context, port int, err error) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case isListenError(err):
		return d.portInUse(port, err)
	}
	return err
}
