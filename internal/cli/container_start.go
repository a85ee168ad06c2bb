package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/usercontainer"
)

// startedDocument is the answer of a verb that has done something to a
// container, in -o json.
type startedDocument struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

func newContainerStart(deps *Deps) *cobra.Command {
	v := &containerVerb{deps: deps}
	return v.onContainer(&cobra.Command{
		Use:   "start NAME [flags]",
		Short: "Bring a container back that was stopped or has lost its network",
		Long: `Bring a container back to what it was: running, with a network, and in the
gateway's VPN. That may be needed when Docker was restarted and started the
container before the one whose network it shares, and after a reset of the gateway,
which gives its VPN new keys. What the container has written is kept.`,
		Example: `  openshell container start nginx`,
	}, func(ctx context.Context, name string) error {
		return v.deps.withEngine(ctx, func(engine Engine) error {
			progress := containerProgress{v.deps.steps(v.output)}
			defer progress.Close()
			if err := engine.Containers().Start(ctx, v.on, name, progress); err != nil {
				return err
			}
			end := progress.begin("join the VPN", "")
			c, err := engine.Containers().Await(ctx, v.on, name, joinTime)
			end(false)
			progress.Close()
			if err != nil {
				return err
			}
			if v.output.json() {
				return render.JSON(v.deps.Out, c)
			}
			return v.deps.sayContainer(v.deps.Out, c)
		})
	})
}

// sayContainer says where the services of a container are reached, and what is
// the matter with those that are not.
func (d *Deps) sayContainer(w io.Writer, c usercontainer.Container) error {
	if _, err := fmt.Fprintf(w, "container %s is %s\n", c.Name, c.State); err != nil {
		return err
	}
	for _, s := range c.Services {
		switch {
		case !s.Live():
			fmt.Fprintf(d.Err, "service %s is not reachable: %s\n", s.Name, serviceTrouble(s))
		case s.URL == "":
			fmt.Fprintf(d.Err, "the web port of gateway %s is not published; `openshell gateway start %s --http-port 7100` publishes it, and with it service %s\n", c.Gateway, c.Gateway, s.Name)
		case s.URL == s.PathURL:
			fmt.Fprintf(w, "  %s  %s\n", s.Name, s.URL)
		default:
			fmt.Fprintf(w, "  %s  %s  %s\n", s.Name, s.URL, s.PathURL)
		}
	}
	return nil
}

// serviceTrouble is why the gateway does not lead to a service.
func serviceTrouble(s usercontainer.Service) string {
	switch {
	case s.Message != "":
		return render.Printable(s.Message)
	case s.State != "":
		return "it is " + s.State
	}
	return "the gateway does not know it yet"
}
