package cli

import (
	"context"

	"github.com/spf13/cobra"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

type execOptions struct {
	sandboxVerb
	stdin, tty bool
	workdir    string
	env        map[string]string
}

func newSandboxExec(deps *Deps) *cobra.Command {
	o := &execOptions{sandboxVerb: sandboxVerb{deps: deps}, env: map[string]string{}}
	cmd := o.command(&cobra.Command{
		Use:   "exec NAME [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run one more command in a sandbox",
		Long: `Run a command in a sandbox, beside the one that it was created with. The exit code
is the command's, or 125 when it could not be run. It gets a terminal if there is
one here; it reads stdin with --stdin or on a terminal.`,
		Example: `  openshell sandbox exec box -- ls -l
  openshell sandbox exec box --workdir /tmp --env DEBUG=1 -- make
  tar -c src | openshell sandbox exec box --stdin -- tar -x`,
		Annotations: map[string]string{runsUserCommand: "true"},
	}, func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		switch {
		case len(args) == 0 || dash == 0:
			return o.nameNeeded(cmd)
		case dash < 0 || dash == len(args):
			return usageError(cmd, "put the command to run after --").Hint("`openshell sandbox exec %s -- ls`", args[0])
		case dash > 1:
			return usageError(cmd, "`%s` takes one sandbox before --, not %d arguments", cmd.CommandPath(), dash)
		}
		if !cmd.Flags().Changed("tty") {
			o.tty = deps.interactive()
		}
		return o.withSandbox(cmd.Context(), args[0], func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
			return o.run(ctx, client, s, args[dash:])
		})
	})
	flags := cmd.Flags()
	flags.BoolVarP(&o.stdin, "stdin", "i", false, "let the command read stdin")
	flags.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal (default: if there is one here)")
	flags.StringVarP(&o.workdir, "workdir", "w", "", "`directory` in the sandbox to run it in (default /sandbox)")
	envFlag(flags, o.env, deps.Env, "environment of the command: NAME=VALUE, or NAME for the value here; may be repeated")
	for _, flag := range []string{"workdir", "env"} {
		mustRegister(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

func (o *execOptions) run(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox, argv []string) error {
	ssh, err := client.Connect(ctx, s)
	if err != nil {
		return err
	}
	defer ssh.Close()
	dir := ""
	if o.workdir != "" {
		dir = remotePath(o.workdir)
	}
	shown := session{deps: o.deps, tty: o.tty, stdin: o.stdin}
	code, _, err := shown.run(ctx, func(ctx context.Context, tty *sandboxapi.TTY, streams sandboxssh.Streams) (int, error) {
		return ssh.Exec(ctx, sandboxapi.Exec{Argv: argv, Dir: dir, Env: o.env, TTY: tty}, streams)
	})
	if err != nil {
		return lost(s.GetName(), err)
	}
	return codeError(code)
}
