package cli

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"openshell.ai/openshell/pkg/fault"
)

// runsUserCommand annotates commands that pass a user's command's exit code
// through and so use 125 for failures of their own.
const runsUserCommand = "runs-user-command"

// usageError is a mistake on the command line of cmd.
func usageError(cmd *cobra.Command, format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, fault.ExitUsage, format, args...).Hint("`%s --help` lists what there is", cmd.CommandPath())
}

// badValue is a flag value out of its accepted form.
func badValue(flag, value, accepted string) *fault.Error {
	return fault.New(fault.BadValue, fault.ExitUsage, "--%s %q is not %s", flag, value, accepted)
}

// flagError turns what pflag says about a flag into a usage error, with the
// nearest flag when the name is unknown.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return unknownCommand(cmd, cmd.Flags().Arg(0))
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return badValue(invalid.GetFlag().Name, invalid.GetValue(), "true or false") // every other type checks itself
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError(cmd, "%s", err.Error())
	}
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return usageError(cmd, "unknown flag -%s of `%s`", name, cmd.CommandPath())
	}
	failure := usageError(cmd, "unknown flag --%s of `%s`", name, cmd.CommandPath())
	if near := nearestFlag(cmd, name); near != "" {
		failure.Hints = append([]string{"did you mean --" + near + "?"}, failure.Hints...)
	}
	return failure
}

func nearestFlag(cmd *cobra.Command, name string) string {
	best, nearest := 3, ""
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if d := distance(name, f.Name); d < best {
			best, nearest = d, f.Name
		}
	})
	return nearest
}

// distance is the Levenshtein distance of two flag names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// group makes cmd a command that only has subcommands: alone it prints its
// help, with an unknown word it fails and suggests.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, word string) error {
	failure := usageError(cmd, "unknown command %q of `%s`", word, cmd.CommandPath())
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		failure.Hints = append([]string{"did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"}, failure.Hints...)
	}
	return failure
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd, "`%s` takes no argument, not %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// wantsJSON reports whether a command line asks for JSON, also when it is
// wrong in other ways.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		for _, flag := range []string{"-o", "--output"} {
			if arg == flag && i+1 < len(args) && args[i+1] == "json" || arg == flag+"=json" || arg == "-ojson" {
				return true
			}
		}
	}
	return false
}
