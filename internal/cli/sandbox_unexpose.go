package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
)

func newSandboxUnexpose(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:   "unexpose NAME [PORT|HOST] [flags]",
		Short: "Take the URLs of a sandbox back",
		Long: `Take back what "openshell sandbox expose" gave: the URLs of a port, the one of a
name, or all of the sandbox. The names are free at once.`,
		Example: `  openshell sandbox unexpose box 8000
  openshell sandbox unexpose box shop
  openshell sandbox unexpose box`,
		ValidArgsFunction: v.completeExposed,
	}), func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return v.nameNeeded(cmd)
		case len(args) > 2:
			return usageError(cmd, "`%s` takes a sandbox and a port or a name", cmd.CommandPath())
		}
		request := &openshellv1.UnexposeSandboxPortRequest{Name: args[0]}
		if len(args) == 2 {
			if err := selectRoutes(request, args[1]); err != nil {
				return err
			}
		}
		return v.withSandbox(cmd.Context(), args[0], func(ctx context.Context, client *gatewayclient.Client, _ *datamodelv1.Sandbox) error {
			return v.unexpose(ctx, client, request)
		})
	})
}

// selectRoutes takes a number for a port, and anything else for a name.
func selectRoutes(request *openshellv1.UnexposeSandboxPortRequest, text string) error {
	if _, err := strconv.ParseInt(text, 10, 64); err != nil && text != "" {
		request.Host = text
		return nil
	}
	port, ok := parsePort(1)(text)
	if !ok {
		return fault.New(fault.BadValue, fault.ExitUsage, "%q is not a port from 1 to 65535 or a name", text)
	}
	request.Port = uint32(port)
	return nil
}

func (v *sandboxVerb) unexpose(ctx context.Context, client *gatewayclient.Client, request *openshellv1.UnexposeSandboxPortRequest) error {
	answer, err := client.UnexposeSandboxPort(ctx, request)
	if fault.HasID(err, fault.SandboxAbsent) { // it was there a moment ago
		return fault.New(fault.RouteAbsent, fault.ExitFailure, "%s", err.Error()).
			Hint("`openshell sandbox get %s` shows which ports are exposed", request.GetName())
	}
	if err != nil {
		return err
	}
	if v.output.json() {
		removed := []exposedDocument{} // [] rather than null
		for _, r := range answer.GetRemoved() {
			removed = append(removed, webServer{}.document(r))
		}
		return render.JSON(v.deps.Out, removed)
	}
	if len(answer.GetRemoved()) == 0 {
		fmt.Fprintf(v.deps.Err, "sandbox %s has no exposed ports\n", request.GetName())
	}
	for _, r := range answer.GetRemoved() {
		fmt.Fprintf(v.deps.Out, "port %d of sandbox %s is no longer exposed as %s\n", r.GetPort(), r.GetSandbox(), r.GetHost())
	}
	return nil
}

// exposed are the routes to a sandbox. A gateway of before there were any has
// none.
func exposed(ctx context.Context, client *gatewayclient.Client, name string) ([]*openshellv1.Route, error) {
	answer, err := client.ListRoutes(ctx, &openshellv1.ListRoutesRequest{Sandbox: name})
	if fault.HasID(err, fault.Unsupported) {
		return nil, nil
	}
	return answer.GetRoutes(), err
}

// completeExposed completes sandboxes, then ports and names of one.
func (v *sandboxVerb) completeExposed(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return v.completeSandbox(1)(cmd, args, word)
	}
	none := cobra.ShellCompDirectiveNoFileComp
	on, err := v.gateway.resolve(cmd, v.deps)
	if err != nil {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	client, err := v.deps.dial(ctx, on)
	if err != nil {
		return nil, none
	}
	defer client.Close()
	routes, err := exposed(ctx, client, args[0])
	if err != nil {
		return nil, none
	}
	var ports, hosts []string
	for _, r := range routes {
		ports = append(ports, strconv.Itoa(int(r.GetPort())))
		hosts = append(hosts, cobra.CompletionWithDesc(r.GetHost(), fmt.Sprintf("port %d", r.GetPort())))
	}
	return append(hosts, unique(ports)...), none
}
