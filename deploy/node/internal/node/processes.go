// Package node puts the processes of a node together: which there are, in what
// order they start, and when each is ready.
package node

import (
	"context"
	"net"
	"time"

	"openshell.ai/openshell/deploy/node/internal/edgehost"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/supervisor"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Names of the processes.
const (
	containerd   = "containerd"
	controlPlane = "control-plane"
	kubeNode     = "node"
)

// edgeGrace is for the last push of app-gateway.
const edgeGrace = 12 * time.Second

// garbageCollection trades memory for time: the node's processes allocate most
// while they start, and a start is what people wait for. openshell-kube takes it
// back after the boot.
const garbageCollection = "GOGC=400"

// processes in the order they start. The kubelet exits when containerd does not
// listen yet; for the API its process waits by itself, with the images imported
// meanwhile. The edge comes when edgeTurn says so, and is stopped before all
// others, until its last push is done.
func processes(apiReadable, edgeTurn func(context.Context) error, pushed func() bool) []supervisor.Spec {
	return []supervisor.Spec{
		{
			Name: controlPlane, Path: layout.KubeBinary, Args: []string{"control-plane"},
			Env: []string{garbageCollection}, Ready: apiReadable, Grace: 10 * time.Second,
		},
		{
			Name: containerd, Path: layout.ContainerdBinary, Args: []string{"--config", layout.ContainerdConfig},
			Ready: listening(layout.ContainerdSocket), Grace: 5 * time.Second,
		},
		{
			Name: kubeNode, Path: layout.KubeBinary, Args: []string{"node"},
			Env: []string{garbageCollection}, After: []string{containerd}, Grace: 20 * time.Second,
		},
		{
			Name: nodeapi.EdgeComponent, Path: nodeapi.Binary, Args: []string{nodeapi.CmdEdge, edgehost.Entrypoint},
			Await: edgeTurn, Grace: edgeGrace, Spent: pushed,
		},
	}
}

// listening succeeds when something accepts on a unix socket.
func listening(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
