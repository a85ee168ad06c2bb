package edgecli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/app"
	"openshell.ai/openshell/pkg/edge/client"
	"openshell.ai/openshell/pkg/edge/containers"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/routes"
	"openshell.ai/openshell/pkg/edge/script"
	"openshell.ai/openshell/pkg/edge/vpn"
	"openshell.ai/openshell/pkg/version"
)

// scriptLimit is for a caller that gives none.
const scriptLimit = time.Minute

func newServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run app-gateway until a signal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			syscall.Umask(0o077) // files and sockets are root's alone unless something else is said
			config, err := app.ConfigFrom(os.Getenv)
			if err != nil {
				return err
			}
			runner := script.Runner{Dir: config.Scripts, Limit: scriptLimit}
			a, err := app.New(config, app.Parts{
				Build:          runningBuild(),
				Containers:     registered{containers.Open(config.State)},
				ContainersFile: filepath.Join(config.State, filepath.Base(edge.ContainersFile)),
				VPN:            tunnel{config.State, config.Run},
				Run: func(ctx context.Context, name script.Name, input string) error {
					_, err := runner.Run(ctx, name, input)
					return err
				},
				Log: slog.New(slog.NewTextHandler(cmd.OutOrStdout(), nil)),
			})
			if err != nil {
				return err
			}
			return a.Run(cmd.Context())
		},
	}
}

// registered is the registry as app-gateway sees it.
type registered struct{ containers.Registry }

func (r registered) Verify(id, token string) (routes.Container, error) {
	c, err := r.Registry.Verify(id, token)
	if errors.Is(err, containers.ErrUnauthorized) {
		return routes.Container{}, app.ErrUnauthorized
	}
	return routed(c), err
}

func (r registered) List() ([]routes.Container, error) {
	list, err := r.Registry.List()
	all := make([]routes.Container, 0, len(list))
	for _, c := range list {
		all = append(all, routed(c))
	}
	return all, err
}

func routed(c containers.Container) routes.Container {
	services := make([]edgeapi.VPNService, 0, len(c.Services))
	for _, s := range c.Services {
		services = append(services, edgeapi.VPNService(s))
	}
	return routes.Container{ID: c.ID, Name: c.Name, Address: c.Address, Services: services}
}

// tunnel is the VPN as app-gateway sees it.
type tunnel struct{ state, run string }

func (t tunnel) Status() (edgeapi.VPN, error) { return vpn.Status(t.run, containers.Open(t.state)) }

func (t tunnel) ClientConfig(id, token string) (any, error) {
	c, err := containers.Open(t.state).Get(id)
	if err != nil {
		return nil, err
	}
	keys, err := vpn.ClientKeys(t.state)
	if err != nil {
		return nil, err
	}
	return client.Renewal(c, token, keys), nil
}

var releaseName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// runningBuild is the release that this program is of, which current may have
// left already; the image's own is its version.
func runningBuild() string {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err == nil {
		if name := filepath.Base(filepath.Dir(filepath.Dir(program))); releaseName.MatchString(name) {
			return name
		}
	}
	return version.Version
}
