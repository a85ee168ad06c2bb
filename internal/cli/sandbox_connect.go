package cli

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

func newSandboxConnect(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(&cobra.Command{
		Use:     "connect NAME [flags]",
		Aliases: []string{"shell"},
		Short:   "Open a shell in a sandbox",
		Long: `Open a login shell in a sandbox. The exit code is the shell's, or 125 when there
was none.`,
		Example:     `  openshell sandbox connect box`,
		Annotations: map[string]string{runsUserCommand: "true"},
	}, func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && !deps.interactive() {
			return fault.New(fault.Usage, fault.ExitUsage, "`openshell sandbox connect` needs a terminal, and this is none").
				Hint("for a script: `openshell sandbox exec %s --stdin -- sh`", args[0])
		}
		return v.oneSandbox(func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
			ssh, err := client.Connect(ctx, s)
			if err != nil {
				return err
			}
			defer ssh.Close()
			code, _, err := shellSession(ctx, deps, ssh)
			if err != nil {
				return lost(s.GetName(), err)
			}
			return codeError(code)
		})(cmd, args)
	})
}

// shellSession shows a login shell.
func shellSession(ctx context.Context, deps *Deps, ssh *sandboxssh.Client) (code int, left bool, err error) {
	return session{deps: deps, tty: true}.run(ctx, func(ctx context.Context, tty *sandboxapi.TTY, streams sandboxssh.Streams) (int, error) {
		return ssh.Shell(ctx, *tty, terminalEnv(), streams)
	})
}

// terminalEnv is what programs on a terminal want to know of it, as ssh is
// usually set up to pass on.
func terminalEnv() map[string]string {
	env := map[string]string{}
	for _, entry := range os.Environ() {
		name, text, _ := strings.Cut(entry, "=")
		if name == "LANG" || strings.HasPrefix(name, "LC_") || name == "COLORTERM" {
			env[name] = text
		}
	}
	return env
}
