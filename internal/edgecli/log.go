package edgecli

import (
	"errors"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/logfile"
)

func newLog() *cobra.Command {
	file := logfile.File{}
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Append standard input to a log that is rotated",
		Long: `Append standard input to a log that is rotated. It ends with its input and
not of a signal, so that the last words of those that log arrive.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file.MaxSize <= 0 || file.Keep <= 0 {
				return errors.New("--max-size and --keep are numbers above 0")
			}
			return file.Copy(cmd.InOrStdin())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file.Path, "file", edge.LogFile, "the log")
	flags.Int64Var(&file.MaxSize, "max-size", 10<<20, "bytes of each file")
	flags.IntVar(&file.Keep, "keep", 3, "full files that are kept")
	return cmd
}
