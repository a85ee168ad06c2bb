package cli

import (
	"context"
	"errors"
	"io/fs"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

const nameVariable = "OPENSHELL_GATEWAY"

// nameFlag is --name.
type nameFlag struct{ value string }

func (f *nameFlag) add(cmd *cobra.Command, deps *Deps) {
	cmd.Flags().StringVar(&f.value, "name", "", "the gateway's `name`")
	mustRegister(cmd, "name", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return completeNames(cmd.Context(), deps), cobra.ShellCompDirectiveNoFileComp
	})
}

// resolve is the one rule for the gateway of every verb: the argument or
// --name, $OPENSHELL_GATEWAY, the selected gateway, "openshell".
func (f *nameFlag) resolve(cmd *cobra.Command, deps *Deps, args []string) (gateway.Name, error) {
	if len(args) > 1 {
		return "", usageError(cmd, "`%s` takes one gateway name, not %d arguments", cmd.CommandPath(), len(args))
	}
	given := cmd.Flags().Changed("name")
	if len(args) == 1 {
		if given && f.value != args[0] {
			return "", usageError(cmd, "two gateways are named: %q and --name %q", args[0], f.value)
		}
		return gateway.ParseName(args[0])
	}
	if given {
		return gateway.ParseName(f.value)
	}
	return chosenGateway(deps)
}

// chosenGateway is the gateway of a command that names none.
func chosenGateway(deps *Deps) (gateway.Name, error) {
	if value := deps.Env(nameVariable); value != "" {
		name, err := gateway.ParseName(value)
		var bad *fault.Error
		if errors.As(err, &bad) {
			bad.Message = nameVariable + ": " + bad.Message
		}
		return name, err
	}
	host, err := deps.Host()
	if err != nil {
		return "", err
	}
	name, err := host.Active()
	if errors.Is(err, fs.ErrNotExist) {
		return gateway.DefaultName, nil
	}
	return name, err
}

// completionPatience is how long a completion may wait for Docker.
const completionPatience = 500 * time.Millisecond

// completeNames are the gateways known to the host and, if it answers quickly,
// to Docker. Completions have no way to report an error.
func completeNames(ctx context.Context, deps *Deps) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	known := map[string]bool{}
	if host, err := deps.Host(); err == nil {
		if names, err := host.Names(); err == nil {
			for _, name := range names {
				known[string(name)] = true
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	if engine, err := deps.Engine(ctx); err == nil {
		defer engine.Close()
		if list, err := engine.List(ctx); err == nil {
			for _, row := range list {
				known[string(row.Name)] = true
			}
		}
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// nameArgument completes a gateway's name as the first argument.
func nameArgument(deps *Deps) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeNames(cmd.Context(), deps), cobra.ShellCompDirectiveNoFileComp
	}
}

// mustRegister attaches a completion; that fails only for a flag that was
// never defined, which every test would show.
func mustRegister(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}
