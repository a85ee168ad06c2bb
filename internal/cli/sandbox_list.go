package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/gatewayclient"
)

// widestCommand is how much of a command a table shows.
const widestCommand = 40

func newSandboxList(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List sandboxes and how they are",
		Example: `  openshell sandbox list
  openshell sandbox list -o json | jq -r '.[].name'`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}), func(cmd *cobra.Command, _ []string) error { return v.runSandboxList(cmd.Context()) })
}

func (v *sandboxVerb) runSandboxList(ctx context.Context) error {
	return v.deps.withGateway(ctx, v.on, func(client *gatewayclient.Client) error {
		all, err := allSandboxes(ctx, client)
		if err != nil {
			return err
		}
		if v.output.json() {
			documents := []sandboxDocument{} // [] rather than null
			for _, s := range all {
				documents = append(documents, v.document(s))
			}
			return render.JSON(v.deps.Out, documents)
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(v.deps.Err, "no sandboxes; `openshell sandbox create` makes one")
			return err
		}
		rows := make([][]string, len(all))
		for i, s := range all {
			rows[i] = []string{s.GetName(), phaseWord(s), commandCell(s), imageName(s), age(v.deps.Now().Sub(time.UnixMilli(s.GetCreatedAtMs())))}
		}
		return render.Table(v.deps.Out, []string{"NAME", "STATUS", "COMMAND", "IMAGE", "AGE"}, rows)
	})
}

// commandCell is "python3 train.py (running)".
func commandCell(s *datamodelv1.Sandbox) string {
	argv := s.GetSpec().GetCommand()
	if len(argv) == 0 {
		return "-"
	}
	text := []rune(render.Printable(commandText(argv)))
	if len(text) > widestCommand {
		text = append(text[:widestCommand-1], '…')
	}
	return fmt.Sprintf("%s (%s)", string(text), commandWord(s))
}

// commandWord is "exited 7", or the state alone.
func commandWord(s *datamodelv1.Sandbox) string {
	word := commandState(s)
	if s.GetStatus().GetCommand().GetState() == datamodelv1.CommandState_COMMAND_STATE_EXITED {
		word = fmt.Sprintf("%s %d", word, s.GetStatus().GetCommand().GetExitCode())
	}
	return word
}
