package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
)

func newSandboxStop(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.several(&cobra.Command{
		Use:   "stop NAME... [flags]",
		Short: "Stop sandboxes; their files are kept",
		Long: `End the processes of sandboxes and keep their files. They stay stopped, also when
the gateway is restarted, until they are started.`,
		Example: `  openshell sandbox stop box
  openshell sandbox stop box other`,
	}, "stop sandbox", "stopped", func(ctx context.Context, client *gatewayclient.Client, name string, _ func(string)) error {
		if _, err := client.StopSandbox(ctx, &openshellv1.StopSandboxRequest{Name: name}); err != nil {
			return err
		}
		return awaitStopped(ctx, client, name)
	})
}

func newSandboxStart(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.several(&cobra.Command{
		Use:   "start NAME... [flags]",
		Short: "Start sandboxes that were stopped",
		Long: `Start sandboxes that were stopped, and wait until they are ready. A command that
had ended does not run again.`,
		Example: `  openshell sandbox start box`,
	}, "start sandbox", "ready", func(ctx context.Context, client *gatewayclient.Client, name string, detail func(string)) error {
		answer, err := client.StartSandbox(ctx, &openshellv1.StartSandboxRequest{Name: name})
		if err != nil {
			return err
		}
		_, err = awaitReady(ctx, client, answer.GetSandbox(), detail)
		return err
	})
}

// several completes a command that does one thing to every sandbox it names.
func (v *sandboxVerb) several(cmd *cobra.Command, step, done string, do func(ctx context.Context, client *gatewayclient.Client, name string, detail func(string)) error) *cobra.Command {
	cmd.ValidArgsFunction = v.completeSandbox(listPage)
	return v.command(v.reports(cmd), func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return v.nameNeeded(cmd)
		}
		ctx := cmd.Context()
		return v.deps.withGateway(ctx, v.on, func(client *gatewayclient.Client) error {
			return v.eachSandbox(ctx, args, step, done, func(ctx context.Context, name string, detail func(string)) error {
				return do(ctx, client, name, detail)
			})
		})
	})
}

// awaitStopped returns when the processes of a sandbox have ended.
func awaitStopped(ctx context.Context, client *gatewayclient.Client, name string) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		answer, err := client.GetSandbox(ctx, &openshellv1.GetSandboxRequest{Name: name})
		if err != nil {
			return err
		}
		switch s := answer.GetSandbox(); {
		case s.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED:
			return nil
		case !s.GetStatus().GetStopped():
			return fault.New(fault.SandboxNotReady, fault.ExitConflict, "sandbox %s was started by somebody else meanwhile", name)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
