package cli

import (
	"context"

	"github.com/spf13/cobra"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

func newSandboxAttach(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(&cobra.Command{
		Use:   "attach NAME [flags]",
		Short: "Show the command of a sandbox again, from its beginning",
		Long: `Show the command that a sandbox was created with: its output so far, then as it
comes. The exit code is the command's, or 125 when it could not be shown.

Ctrl-C goes to the command. A second one within a second leaves it running, and
so do Ctrl-P Ctrl-Q on a terminal.`,
		Example:     `  openshell sandbox attach box`,
		Annotations: map[string]string{runsUserCommand: "true"},
	}, v.oneSandbox(func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		name := s.GetName()
		if len(s.GetSpec().GetCommand()) == 0 {
			return fault.New(fault.CommandAbsent, fault.ExitFailure, "sandbox %s was created without a command", name).
				Hint("`openshell sandbox connect %s` gives a shell in it", name)
		}
		ssh, err := client.Connect(ctx, s)
		if err != nil {
			return err
		}
		defer ssh.Close()
		shown := session{
			deps: deps, tty: s.GetSpec().GetTty() && deps.interactive(), leave: true,
			stdin: s.GetSpec().GetStdin() && !deps.InTTY,
		}
		code, left, err := shown.run(ctx, func(ctx context.Context, tty *sandboxapi.TTY, streams sandboxssh.Streams) (int, error) {
			// Started, where the one who was to do so is gone.
			return ssh.Attach(ctx, sandboxapi.Attach{Start: true, TTY: tty}, streams)
		})
		if err != nil {
			return lost(name, err)
		}
		if left {
			deps.sayLeft(name)
		}
		return codeError(code)
	}))
}
