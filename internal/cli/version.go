package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
)

// build says which openshell this is.
type build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func buildFacts(deps *Deps) build {
	return build{Version: deps.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
}

func newVersion(deps *Deps) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Print which openshell this is",
		Example: `  openshell version
  openshell version -o json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			facts := buildFacts(deps)
			if format.json() {
				return render.JSON(deps.Out, facts)
			}
			_, err := fmt.Fprintf(deps.Out, "openshell %s (%s, %s/%s)\n", facts.Version, facts.Go, facts.OS, facts.Arch)
			return err
		},
	}
	outputFlag(cmd, &format)
	return cmd
}
