package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
)

func newGatewayRoutes(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	return v.command(&cobra.Command{
		Use:   "routes [NAME] [flags]",
		Short: "List the services that a gateway's web server leads to",
		Long: `List the services of sandboxes and user containers with the URL of each on this
host. The first to take a name keeps it; another that wants it is in conflict.`,
		Example: `  openshell gateway routes
  openshell gateway routes -o json | jq -r '.routes[].url'`,
	}, v.runRoutes)
}

func (v *verb) runRoutes(ctx context.Context) error {
	return v.deps.withEngine(ctx, func(engine Engine) error {
		routes, err := engine.Routes(ctx, v.on)
		if err != nil {
			return err
		}
		if v.output.json() {
			if routes.Routes == nil {
				routes.Routes = []bootstrap.Route{} // [] rather than null
			}
			return render.JSON(v.deps.Out, routes)
		}
		if routes.Web == "" {
			fmt.Fprintf(v.deps.Err, "the web port of gateway %s is not published; `openshell gateway start %s --http-port 7100` publishes it\n", v.on, v.on)
		}
		if len(routes.Routes) == 0 {
			fmt.Fprintln(v.deps.Err, "no routes")
			return nil
		}
		rows := make([][]string, len(routes.Routes))
		for i, r := range routes.Routes {
			state := r.State
			if r.Message != "" {
				state += ": " + r.Message
			}
			rows[i] = []string{r.Host, r.Kind + "/" + r.Owner, cmp.Or(r.URL, "-"), state}
		}
		return render.Table(v.deps.Out, []string{"NAME", "OWNER", "URL", "STATE"}, rows)
	})
}
