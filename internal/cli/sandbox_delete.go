package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
)

type deleteOptions struct {
	sandboxVerb
	all, yes bool
}

func newSandboxDelete(deps *Deps) *cobra.Command {
	o := &deleteOptions{sandboxVerb: sandboxVerb{deps: deps}}
	cmd := o.command(o.reports(&cobra.Command{
		Use:     "delete NAME... [flags]",
		Aliases: []string{"rm"},
		Short:   "Delete sandboxes with their files",
		Long: `Delete sandboxes with all their files, and wait until they are gone. With --all
it asks on a terminal; elsewhere that needs --yes.`,
		Example: `  openshell sandbox delete box
  openshell sandbox delete box other
  openshell sandbox delete --all --yes`,
		ValidArgsFunction: o.completeSandbox(listPage),
	}), o.run)
	cmd.Flags().BoolVar(&o.all, "all", false, "delete every sandbox of the gateway")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *deleteOptions) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	switch {
	case o.all && len(args) > 0:
		return usageError(cmd, "--all deletes every sandbox: give it or names, not both")
	case !o.all && len(args) == 0:
		return o.nameNeeded(cmd)
	}
	return o.deps.withGateway(ctx, o.on, func(client *gatewayclient.Client) error {
		if o.all {
			sandboxes, err := allSandboxes(ctx, client)
			if err != nil {
				return err
			}
			for _, s := range sandboxes {
				args = append(args, s.GetName())
			}
			if len(args) > 0 {
				if err := o.confirm(ctx, len(args)); err != nil {
					return err
				}
			}
		}
		return o.eachSandbox(ctx, args, "delete sandbox", "deleted", func(ctx context.Context, name string, _ func(string)) error {
			return o.remove(ctx, client, name)
		})
	})
}

func (o *deleteOptions) confirm(ctx context.Context, count int) error {
	if o.yes {
		return nil
	}
	if !o.deps.InTTY || !o.deps.ErrTTY {
		return fault.New(fault.NeedsYes, fault.ExitUsage, "deleting all %d sandboxes of gateway %s needs a confirmation, and this is no terminal to ask on", count, o.on).
			Hint("to delete them with their files: `openshell sandbox delete --all --yes`")
	}
	agreed, err := ask(ctx, o.deps.Streams, fmt.Sprintf("Delete all %d sandboxes of gateway %s with their files? [y/N] ", count, o.on))
	if err == nil && !agreed {
		err = fault.New(fault.NeedsYes, fault.ExitUsage, "nothing was deleted: the answer was not yes")
	}
	return err
}

// remove deletes a sandbox and waits until it is gone, with what this host
// keeps of it.
func (v *sandboxVerb) remove(ctx context.Context, client *gatewayclient.Client, name string) error {
	before, err := client.GetSandbox(ctx, &openshellv1.GetSandboxRequest{Name: name})
	if err != nil {
		return err
	}
	id := before.GetSandbox().GetId()
	host, err := v.deps.Host()
	if err != nil {
		return err
	}
	// First, because nobody knows the id of a sandbox that is gone.
	if err := host.RemoveKnownHost(v.on, id); err != nil {
		return err
	}
	if _, err := client.DeleteSandbox(ctx, &openshellv1.DeleteSandboxRequest{Name: name}); err != nil && !fault.HasID(err, fault.SandboxAbsent) {
		return err
	}
	return awaitGone(ctx, client, name, id)
}

// awaitGone returns when the sandbox is gone, or another has its name.
func awaitGone(ctx context.Context, client *gatewayclient.Client, name, id string) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		answer, err := client.GetSandbox(ctx, &openshellv1.GetSandboxRequest{Name: name})
		if fault.HasID(err, fault.SandboxAbsent) || err == nil && answer.GetSandbox().GetId() != id {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
