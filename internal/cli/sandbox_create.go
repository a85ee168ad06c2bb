package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/hostimage"
)

type createOptions struct {
	sandboxVerb
	name        string
	from        string
	env         map[string]string
	uploads     []copySpec
	forwards    []forwardSpec
	keep        bool
	noKeep      bool
	cpu, memory string
	detach      bool
	restart     string
	noBootstrap bool
	tty         bool
	ttyGiven    bool
	argv        []string

	source *hostimage.Source // of --from
}

func newSandboxCreate(deps *Deps, run func(context.Context, *createOptions) error) *cobra.Command {
	o := &createOptions{sandboxVerb: sandboxVerb{deps: deps}, env: map[string]string{}, keep: true, restart: restartAlways}
	if run == nil {
		run = runCreate
	}
	cmd := o.command(o.reports(&cobra.Command{
		Use:   "create [flags] [-- COMMAND [ARGUMENT...]]",
		Short: "Create a sandbox, and run a command or a shell in it",
		Long: `Create a sandbox and run a command in it. Its output and its exit code are those
of openshell, or 125 when it could not be run. Without a command there is a shell
on a terminal; elsewhere the name is printed.

The sandbox is kept when the command has ended. A command that a restart of the
gateway interrupts runs again; one that has ended never does.

When no gateway is running it is started first, or brought back.

Ctrl-C goes to the command. A second one within a second leaves it running, and
so do Ctrl-P Ctrl-Q on a terminal.`,
		Example: `  openshell sandbox create
  openshell sandbox create -- python3 -c 'print("hi")'
  openshell sandbox create --name box --from python:3.13 --upload ./src
  openshell sandbox create --from ./dir-with-dockerfile --no-keep -- make test
  openshell sandbox create --name web --detach --forward 8000 -- python3 -m http.server`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}), func(cmd *cobra.Command, args []string) error {
		if err := o.complete(cmd, args); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.name, "name", "", "the sandbox's `name` (default: two words that the gateway chooses)")
	flags.StringVar(&o.from, "from", "", "`image` of the sandbox, or a directory with a Dockerfile")
	envFlag(flags, o.env, deps.Env, "environment of the sandbox: NAME=VALUE, or NAME for the value here; may be repeated")
	uploadFlag(flags, &o.uploads, "copy a file or directory into it first (default to /sandbox); may be repeated")
	forwardFlag(flags, &o.forwards, "forward a port of this host to one in the sandbox; may be repeated")
	flags.BoolVar(&o.keep, "keep", true, "keep the sandbox when its command has ended")
	flags.BoolVar(&o.noKeep, "no-keep", false, "delete the sandbox when its command or shell has ended")
	quantityFlag(flags, &o.cpu, "cpu", "cores", "a number of cores such as 2, 0.5 or 500m", parseCPU, "limit of the sandbox in cores")
	quantityFlag(flags, &o.memory, "memory", "size", "a size of at least 32m such as 4g", parseSandboxMemory, "limit of the sandbox's memory, such as 4g")
	flags.BoolVarP(&o.detach, "detach", "d", false, "print the name when the sandbox is ready, and leave the command to itself")
	wordFlag(flags, &o.restart, "restart", "when", "always or no", []string{restartAlways, restartNo}, "run a command that a restart interrupted again: always or no")
	flags.BoolVar(&o.noBootstrap, "no-bootstrap", false, "fail when no gateway is running, rather than start it")
	flags.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal (default: if there is one here)")
	mustRegister(cmd, "restart", cobra.FixedCompletions([]string{restartAlways, restartNo}, cobra.ShellCompDirectiveNoFileComp))
	for _, flag := range []string{"name", "env", "forward", "cpu", "memory"} {
		mustRegister(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

// complete checks everything that can be checked before anything is done.
func (o *createOptions) complete(cmd *cobra.Command, args []string) error {
	if cmd.ArgsLenAtDash() > 0 || cmd.ArgsLenAtDash() < 0 && len(args) > 0 {
		failure := usageError(cmd, "`%s` takes no argument before --, not %q", cmd.CommandPath(), args[0])
		failure.Hints = append([]string{"name the sandbox with --name, put a command after --"}, failure.Hints...)
		return failure
	}
	o.argv = args
	o.ttyGiven = cmd.Flags().Changed("tty")
	if cmd.Flags().Changed("keep") && cmd.Flags().Changed("no-keep") && o.keep == o.noKeep {
		return usageError(cmd, "--keep and --no-keep exclude each other")
	}
	o.noKeep = o.noKeep || !o.keep
	if o.detach && o.noKeep && len(o.argv) == 0 {
		return usageError(cmd, "with --detach and --no-keep, and without a command, the sandbox would be gone at once")
	}
	if o.output.json() && !o.detach && len(o.argv) > 0 {
		return usageError(cmd, "-o json needs --detach: stdout is the command's")
	}
	if o.attaches() {
		if cmd.Annotations == nil {
			cmd.Annotations = map[string]string{}
		}
		cmd.Annotations[runsUserCommand] = "true"
	}
	if o.name != "" || cmd.Flags().Changed("name") {
		if err := checkSandboxName(o.name); err != nil {
			return err
		}
	}
	for _, upload := range o.uploads {
		if _, err := os.Stat(upload.local); err != nil {
			return badValue("upload", upload.local, "a file or directory that can be read").Because(err)
		}
	}
	for _, forward := range o.forwards {
		if err := o.deps.checkFree(forward.local); err != nil {
			return err
		}
	}
	if cmd.Flags().Changed("from") {
		source, err := hostimage.Parse(o.from)
		if err != nil {
			return err
		}
		o.source = &source
	}
	return nil
}

// attaches reports whether a command or a shell is shown.
func (o *createOptions) attaches() bool {
	if o.detach || o.output.json() {
		return false
	}
	return len(o.argv) > 0 || o.deps.interactive()
}

// terminal reports whether the command gets a terminal.
func (o *createOptions) terminal() bool {
	if o.ttyGiven {
		return o.tty
	}
	return o.attaches() && o.deps.interactive()
}

// reads reports whether the command reads our input.
func (o *createOptions) reads() bool { return o.terminal() || o.attaches() && !o.deps.InTTY }
