package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/usercontainer"
)

func newContainerList(deps *Deps) *cobra.Command {
	v := &containerVerb{deps: deps}
	return v.command(&cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List containers, how they are, and where their services are",
		Example: `  openshell container list
  openshell container list -o json | jq -r '.[].services[].url'`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(cmd *cobra.Command, _ []string) error { return v.list(cmd.Context()) })
}

func (v *containerVerb) list(ctx context.Context) error {
	return v.deps.withEngine(ctx, func(engine Engine) error {
		list, err := engine.Containers().List(ctx, v.on)
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, append([]usercontainer.Container{}, list.Containers...)) // [] rather than null
		}
		if len(list.Containers) == 0 {
			fmt.Fprintln(v.deps.Err, "no containers; `openshell container run IMAGE` makes one")
		} else if err := render.Table(v.deps.Out, []string{"NAME", "STATUS", "IMAGE", "ADDRESS", "SERVICE", "URL"}, containerRows(list.Containers)); err != nil {
			return err
		}
		v.notes(list)
		return nil
	})
}

// containerRows are a row for each container, and one more for each further
// service.
func containerRows(all []usercontainer.Container) [][]string {
	var rows [][]string
	for _, c := range all {
		row := []string{c.Name, string(c.State), cmp.Or(c.Image, "-"), cmp.Or(c.Address, "-"), "-", "-"}
		for i, s := range c.Services {
			if i > 0 {
				row = []string{"", "", "", "", "", ""}
			}
			row[4], row[5] = serviceCell(s), cmp.Or(s.URL, "-")
			rows = append(rows, row)
		}
		if len(c.Services) == 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// serviceCell is "web:80 (down)".
func serviceCell(s usercontainer.Service) string {
	cell := fmt.Sprintf("%s:%d", s.Name, s.Port)
	if s.State != "" && !s.Live() {
		cell += " (" + s.State + ")"
	}
	return cell
}

// notes say what the table has no room for.
func (v *containerVerb) notes(list usercontainer.Listing) {
	for _, c := range list.Containers {
		if c.Message != "" {
			fmt.Fprintf(v.deps.Err, "%s is %s: %s\n", c.Name, c.State, c.Message)
		}
		for _, s := range c.Services {
			if s.Message != "" {
				fmt.Fprintf(v.deps.Err, "service %s of %s: %s\n", s.Name, c.Name, render.Printable(s.Message))
			}
		}
	}
	var known *fault.Error
	if errors.As(list.Problem, &known) && len(list.Containers) > 0 {
		fmt.Fprintf(v.deps.Err, "%s\n", known.Message)
		for _, hint := range known.Hints {
			fmt.Fprintf(v.deps.Err, "  hint: %s\n", hint)
		}
	}
}
