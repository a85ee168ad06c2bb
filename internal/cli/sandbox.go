package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/gatewayclient"
)

const (
	groupUse   = "use"
	groupFiles = "files"
)

func newSandbox(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "sandbox",
		Aliases: []string{"sb"},
		Short:   "Create, use and keep sandboxes",
		Long: `Create, use and keep sandboxes. A sandbox is a place of its own for processes and
files behind a gateway. It keeps its files under /sandbox through every restart,
until it is deleted.

A command acts on the gateway named by --gateway, else by OPENSHELL_GATEWAY, else
on the selected one, else on "openshell".`,
		Example: `  openshell sandbox create
  openshell sandbox create --name box -- python3 train.py
  openshell sandbox connect box
  openshell sandbox delete box`,
	})
	cmd.AddGroup(
		&cobra.Group{ID: groupLife, Title: "Life of a sandbox:"},
		&cobra.Group{ID: groupUse, Title: "Using it:"},
		&cobra.Group{ID: groupFiles, Title: "Files and tools:"},
		&cobra.Group{ID: groupLook, Title: "Looking at it:"},
	)
	addTo(cmd, groupLife, newSandboxCreate(deps, nil), newSandboxStop(deps), newSandboxStart(deps), newSandboxDelete(deps))
	addTo(cmd, groupUse, newSandboxConnect(deps), newSandboxExec(deps), newSandboxAttach(deps), newSandboxExpose(deps), newSandboxUnexpose(deps))
	addTo(cmd, groupFiles, newSandboxUpload(deps), newSandboxDownload(deps), newSandboxSSHConfig(deps), newSandboxImage(deps))
	addTo(cmd, groupLook, newSandboxList(deps), newSandboxGet(deps), newSandboxLogs(deps))
	return cmd
}

// sandboxVerb is what every command on a gateway's sandboxes has.
type sandboxVerb struct {
	deps    *Deps
	gateway gatewayFlag
	output  output
	on      gateway.Name // resolved
}

// reports gives cmd -o.
func (v *sandboxVerb) reports(cmd *cobra.Command) *cobra.Command {
	outputFlag(cmd, &v.output)
	return cmd
}

// command completes cmd with --gateway, and runs it with the gateway resolved.
func (v *sandboxVerb) command(cmd *cobra.Command, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	v.gateway.add(cmd, v.deps)
	if cmd.Args == nil {
		cmd.Args = cobra.ArbitraryArgs
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = v.completeSandbox(1)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if v.on, err = v.gateway.resolve(cmd, v.deps); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// oneSandbox runs use with the sandbox that the only argument names.
func (v *sandboxVerb) oneSandbox(use func(context.Context, *gatewayclient.Client, *datamodelv1.Sandbox) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return v.nameNeeded(cmd)
		}
		if len(args) > 1 {
			return usageError(cmd, "`%s` takes one sandbox, not %d arguments", cmd.CommandPath(), len(args))
		}
		return v.withSandbox(cmd.Context(), args[0], use)
	}
}

// withSandbox connects to the gateway and gets the sandbox.
func (v *sandboxVerb) withSandbox(ctx context.Context, name string, use func(context.Context, *gatewayclient.Client, *datamodelv1.Sandbox) error) error {
	return v.deps.withGateway(ctx, v.on, func(client *gatewayclient.Client) error {
		answer, err := client.GetSandbox(ctx, &openshellv1.GetSandboxRequest{Name: name})
		if err != nil {
			return err
		}
		return use(ctx, client, answer.GetSandbox())
	})
}

// listPage is the most that the gateway answers at once.
const listPage = 1000

// allSandboxes are those of a gateway, in its order.
func allSandboxes(ctx context.Context, client *gatewayclient.Client) ([]*datamodelv1.Sandbox, error) {
	var all []*datamodelv1.Sandbox
	for {
		page, err := client.ListSandboxes(ctx, &openshellv1.ListSandboxesRequest{Limit: listPage, Offset: uint32(len(all))})
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetSandboxes()...)
		if len(page.GetSandboxes()) < listPage {
			return all, nil
		}
	}
}

// nameNeeded is a missing argument. It lists the names there are, if the
// gateway tells them quickly: none is guessed.
func (v *sandboxVerb) nameNeeded(cmd *cobra.Command) error {
	failure := usageError(cmd, "`%s` needs the name of a sandbox", cmd.CommandPath())
	if names := v.known(cmd.Context(), func(s *datamodelv1.Sandbox) string { return s.GetName() }); len(names) > 0 {
		failure.Hint("sandboxes of gateway %s: %s", v.on, strings.Join(names, ", "))
	}
	return failure
}

// known describes the sandboxes if the gateway answers quickly, else none.
func (v *sandboxVerb) known(ctx context.Context, describe func(*datamodelv1.Sandbox) string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	client, err := v.deps.dial(ctx, v.on)
	if err != nil {
		return nil
	}
	defer client.Close()
	all, err := allSandboxes(ctx, client)
	if err != nil {
		return nil
	}
	var out []string
	for _, s := range all {
		out = append(out, describe(s))
	}
	return out
}

// completeSandbox completes names of sandboxes for the first so many arguments,
// those that are given left out.
func (v *sandboxVerb) completeSandbox(arguments int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= arguments {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var err error
		if v.on, err = v.gateway.resolve(cmd, v.deps); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		given := map[string]bool{}
		for _, arg := range args {
			given[arg] = true
		}
		var words []string
		for _, word := range v.known(cmd.Context(), func(s *datamodelv1.Sandbox) string {
			if given[s.GetName()] {
				return ""
			}
			return cobra.CompletionWithDesc(s.GetName(), phaseWord(s))
		}) {
			if word != "" {
				words = append(words, word)
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
