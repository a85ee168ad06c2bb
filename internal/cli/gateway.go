package cli

import (
	"context"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/gateway"
)

const (
	groupLife   = "life"
	groupLook   = "look"
	groupInside = "inside"
)

func newGateway(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "gateway",
		Aliases: []string{"gw"},
		Short:   "Start, stop and look after gateways",
		Example: `  openshell gateway start
  openshell gateway start work --port 9000
  openshell gateway list`,
	})
	cmd.AddGroup(
		&cobra.Group{ID: groupLife, Title: "Life of a gateway:"},
		&cobra.Group{ID: groupLook, Title: "Looking at it:"},
		&cobra.Group{ID: groupInside, Title: "Working inside:"},
	)
	addTo(cmd, groupLife, newGatewayStart(deps, nil), newGatewayStop(deps), newGatewayDestroy(deps), newGatewayRestore(deps), newGatewaySelect(deps),
		newGatewayReset(deps), newGatewayReload(deps))
	addTo(cmd, groupLook, newGatewayStatus(deps), newGatewayList(deps), newGatewayInfo(deps), newGatewayLogs(deps), newGatewayRoutes(deps))
	addTo(cmd, groupInside, newGatewayExec(deps), newGatewayKubectl(deps), newGatewayVPN(deps))
	return cmd
}

// verb is what every command on one gateway has.
type verb struct {
	deps   *Deps
	name   nameFlag
	output output
	on     gateway.Name // resolved
}

// command completes cmd with the gateway's name as its argument and with -o,
// and runs it with the name resolved.
func (v *verb) command(cmd *cobra.Command, run func(context.Context) error) *cobra.Command {
	v.name.add(cmd, v.deps)
	outputFlag(cmd, &v.output)
	cmd.Args = cobra.ArbitraryArgs
	cmd.ValidArgsFunction = nameArgument(v.deps)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if v.on, err = v.name.resolve(cmd, v.deps, args); err != nil {
			return err
		}
		return run(cmd.Context())
	}
	return cmd
}

// withEngine connects, runs use and closes the connection.
func (d *Deps) withEngine(ctx context.Context, use func(Engine) error) error {
	engine, err := d.Engine(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	return use(engine)
}
