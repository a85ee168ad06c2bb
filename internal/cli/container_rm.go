package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
)

func newContainerRemove(deps *Deps) *cobra.Command {
	v := &containerVerb{deps: deps}
	return v.onContainer(&cobra.Command{
		Use:     "rm NAME [flags]",
		Aliases: []string{"remove", "delete"},
		Short:   "Delete a container with what it has written, and its registration",
		Long: `Delete a container: it is stopped, and deleted with what it has written and the
volumes of it that have no name. The gateway forgets it, and the names of its
services are free. The image is kept.`,
		Example: `  openshell container rm nginx`,
	}, func(ctx context.Context, name string) error {
		return v.deps.withEngine(ctx, func(engine Engine) error {
			progress := containerProgress{v.deps.steps(v.output)}
			err := engine.Containers().Remove(ctx, v.on, name, progress)
			progress.Close()
			if err != nil {
				return err
			}
			if v.output.json() {
				return render.JSON(v.deps.Out, startedDocument{name, "removed"})
			}
			_, err = fmt.Fprintf(v.deps.Out, "container %s is deleted\n", name)
			return err
		})
	})
}
