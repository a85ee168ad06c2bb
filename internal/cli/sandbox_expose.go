package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
)

const (
	routeLimit = 5 * time.Second // for the web server to take a route over
	routePause = 100 * time.Millisecond
)

type exposeOptions struct {
	sandboxVerb
	as string
}

// exposedDocument is an exposed port in -o json. Fields are only added.
type exposedDocument struct {
	Host    string `json:"host"`
	Sandbox string `json:"sandbox"`
	ID      string `json:"id"` // of the sandbox
	Port    uint32 `json:"port"`
	URL     string `json:"url,omitempty"`     // on this host; empty: the web port is not published
	PathURL string `json:"pathUrl,omitempty"` // the same service as a path
}

func newSandboxExpose(deps *Deps) *cobra.Command {
	o := &exposeOptions{sandboxVerb: sandboxVerb{deps: deps}}
	cmd := o.command(o.reports(&cobra.Command{
		Use:   "expose NAME PORT [flags]",
		Short: "Give a web application in a sandbox a URL",
		Long: `Have the web server of the gateway lead to a port of a sandbox, and print the URL.
It stays over restarts, until the port is unexposed or the sandbox is deleted.

The name in the URL is the sandbox's, or that with the port when it is taken or no
DNS label; --as chooses another. The first to take a name keeps it.

The application has to listen on 0.0.0.0, not on 127.0.0.1 alone; what listens
there only is reached by "openshell forward start".`,
		Example: `  openshell sandbox expose box 8000
  openshell sandbox expose box 3000 --as shop
  openshell sandbox expose box 8000 -o json | jq -r .url`,
	}), o.run)
	cmd.Flags().StringVar(&o.as, "as", "", "`name` in the URL: letters, digits and dashes")
	mustRegister(cmd, "as", cobra.NoFileCompletions)
	return cmd
}

func (o *exposeOptions) run(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return o.nameNeeded(cmd)
	case len(args) != 2:
		return usageError(cmd, "`%s` takes a sandbox and a port", cmd.CommandPath())
	}
	port, ok := parsePort(1)(args[1])
	if !ok {
		return fault.New(fault.BadValue, fault.ExitUsage, "%q is not a port from 1 to 65535", args[1])
	}
	if o.as != "" && strings.Trim(o.as, "0123456789") == "" {
		return badValue("as", o.as, "a name with a letter in it: a number would be taken for a port")
	}
	return o.withSandbox(cmd.Context(), args[0], func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		return o.expose(ctx, client, s, uint32(port))
	})
}

func (o *exposeOptions) expose(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox, port uint32) error {
	answer, err := client.ExposeSandboxPort(ctx, &openshellv1.ExposeSandboxPortRequest{Name: s.GetName(), Port: port, Host: o.as})
	if fault.HasID(err, fault.SandboxExists) {
		return hostTaken(s.GetName(), port, err.Error())
	}
	if err != nil {
		return err
	}
	route := answer.GetRoute()
	web, err := o.webServer()
	if err != nil {
		return err
	}
	progress := o.deps.steps(o.output)
	defer progress.Close()
	ready := s.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_READY
	end := progress.begin("expose port", "")
	state, err := o.awaitRoute(ctx, route, ready)
	end(false)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case state.State == edgeapi.RouteConflict:
		if answer.GetCreated() {
			undo := &openshellv1.UnexposeSandboxPortRequest{Name: s.GetName(), Port: port, Host: route.GetHost()}
			if _, err := client.UnexposeSandboxPort(ctx, undo); err != nil {
				return err
			}
		}
		return hostTaken(s.GetName(), port, state.Message)
	case err != nil:
		progress.warn(fmt.Sprintf("whether the web server leads there is not known: %v", err))
	case !ready:
		progress.note(fmt.Sprintf("sandbox %s is %s; the URL leads to it once it is ready", s.GetName(), phaseWord(s)))
	case state.State != edgeapi.RouteLive:
		progress.warn(fmt.Sprintf("the web server does not lead there yet; `openshell gateway routes %s` says how it is", o.on))
	}
	if ready {
		if advice := o.listening(ctx, client, s, port); advice != "" {
			progress.note(advice)
		}
	}
	document := web.document(route)
	if document.URL == "" {
		progress.note(fmt.Sprintf("the web port of gateway %s is not published; `openshell gateway start %s --http-port 7100` publishes it", o.on, o.on))
	} else {
		progress.note("it is " + document.PathURL + " as well")
	}
	progress.Close()
	if o.output.json() {
		return render.JSON(o.deps.Out, document)
	}
	if document.URL != "" {
		_, err = fmt.Fprintln(o.deps.Out, document.URL)
	}
	return err
}

// awaitRoute returns how the web server fares with a route, as soon as that is
// settled, or at the limit as it is then.
func (o *exposeOptions) awaitRoute(ctx context.Context, route *openshellv1.Route, ready bool) (edgeapi.Route, error) {
	ctx, cancel := context.WithTimeout(ctx, routeLimit)
	defer cancel()
	var last edgeapi.Route
	err := o.deps.withEngine(ctx, func(engine Engine) error {
		for {
			all, err := engine.Routes(ctx, o.on)
			for _, r := range all.Routes {
				if r.Host == route.GetHost() && r.Kind == edgeapi.KindSandbox && r.OwnerID == route.GetSandboxId() && uint32(r.Port) == route.GetPort() {
					last = r.Route
				}
			}
			// It is down for a moment before a pod's address is known.
			if settled := last.State == edgeapi.RouteLive || last.State == edgeapi.RouteConflict || last.State == edgeapi.RouteDown && !ready; settled {
				return nil
			}
			if err != nil && !fault.HasID(err, fault.EdgeFailed) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(routePause):
			}
		}
	})
	return last, err
}

func hostTaken(name string, port uint32, why string) error {
	return fault.New(fault.ServiceTaken, fault.ExitConflict, "%s", why).
		Hint("take another name: `openshell sandbox expose %s %d --as NAME`", name, port).
		Hint("`openshell gateway routes` shows whose names there are")
}
