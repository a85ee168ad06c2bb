// Command openshell-node is PID 1 of a gateway's container and, run again by
// exec, the way the CLI speaks to it. It is small on purpose; Kubernetes itself
// is openshell-kube.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"openshell.ai/openshell/deploy/node/internal/node"
	"openshell.ai/openshell/pkg/nodeapi"
)

const usage = `usage: openshell-node COMMAND

  supervise               run the node (PID 1)
  status                  print the node's status as JSON
  watch                   print a status line at every change until stdin closes
  healthcheck             exit 0 when healthy, else print what is wrong
  dial api                connect stdin and stdout to the Kubernetes API
  dial session            the same after a line with the credentials
  kubectl ...             kubectl with administrator's credentials
  edge COMMAND ...        run a command with the environment of the edge's scripts
  volume asides           list what can be brought back: states that were set
                          aside, snapshots, databases
  volume set-aside NAME   set the present state aside under that name
  volume restore NAME PRESENT
                          bring one of them back; what is in its place is set
                          aside as PRESENT
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "openshell-node:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2, nil
	}
	commands := map[string]func(context.Context, []string) error{
		"supervise":            func(ctx context.Context, _ []string) error { return node.Run(ctx) },
		nodeapi.CmdStatus:      printStatus,
		nodeapi.CmdWatch:       watch,
		nodeapi.CmdHealthcheck: healthcheck,
		nodeapi.CmdDial:        dial,
		nodeapi.CmdKubectl:     kubectl,
		nodeapi.CmdVolume:      volumeCommand,
		nodeapi.CmdEdge:        edgeCommand,
	}
	command, ok := commands[args[0]]
	if !ok {
		fmt.Fprint(os.Stderr, usage)
		return 2, nil
	}
	if err := command(ctx, args[1:]); err != nil {
		return 1, err
	}
	return 0, nil
}
