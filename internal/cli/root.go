package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
)

const (
	groupMain  = "main"
	groupOther = "other"
)

// newRoot builds the command tree.
func newRoot(deps *Deps) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "openshell",
		Short: "Sandboxes for agents, behind a gateway on your machine",
		Long: `openshell runs sandboxes behind a gateway, which is one Docker container with all
of its state on one Docker volume. Whatever happened to the container, the same
gateway comes back with its sandboxes.

A command acts on the gateway it names, else on that of OPENSHELL_GATEWAY, else
on the selected one, else on "openshell".`,
		Example: `  openshell sandbox create    a shell in a new sandbox; starts the gateway if need be
  openshell sandbox list      the sandboxes there are
  openshell status            say how the gateway is
  openshell gateway stop      stop it; everything is kept`,
		Version:           deps.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	})
	root.SetVersionTemplate("openshell {{.Version}}\n")
	root.SetIn(deps.In)
	root.SetOut(deps.Out)
	root.SetErr(deps.Err)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp())
	root.SetHelpCommandGroupID(groupOther)
	root.AddGroup(&cobra.Group{ID: groupMain, Title: "Commands:"}, &cobra.Group{ID: groupOther, Title: "Other commands:"})
	addTo(root, groupMain, newSandbox(deps), newForward(deps), newContainer(deps), newGateway(deps), newStatus(deps), newDoctor(deps))
	addTo(root, groupOther, newCompletion(), newVersion(deps), newSSHProxy(deps))
	return root
}

func addTo(parent *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		cmd.DisableFlagsInUseLine = true
		parent.AddCommand(cmd)
	}
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Describe a command",
		Example: "  openshell help gateway start",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			of, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var words []string
			for _, sub := range of.Commands() {
				if sub.IsAvailableCommand() {
					words = append(words, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageError(cmd.Root(), "no help for %q", strings.Join(args, " "))
			}
			if len(rest) > 0 {
				return unknownCommand(of, rest[0])
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// progress is where a command's events go: as JSON lines with -o json, redrawn
// on a terminal, plain lines elsewhere.
func (d *Deps) progress(o output) render.Progress {
	switch {
	case o.json():
		return render.NewJSON(d.Err)
	case d.Live:
		return render.NewLive(d.Err, render.LiveOptions{Color: d.Color, Width: d.Width, Now: d.Now, Tick: render.DefaultTick})
	default:
		return render.NewPlain(d.Err)
	}
}
