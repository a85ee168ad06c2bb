// Command openshell-cni is the last plugin of the pod network, see package cni.
// It is a program of its own because it runs twice in the life of every pod.
package main

import (
	"context"
	"os"

	"openshell.ai/openshell/deploy/node/internal/cni"
	"openshell.ai/openshell/deploy/node/internal/firewall"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func main() {
	plugin := cni.Plugin{
		Namespace: layout.GatewayNamespace, Port: nodeapi.ServerPort, BootFile: layout.CNIConfig, Dir: layout.GatewayPodDir,
		Admit: firewall.Admit, Dismiss: firewall.Dismiss,
		Sandboxes: sandboxapi.Namespace, SandboxDir: layout.SandboxPodDir,
	}
	env := cni.Environment{Command: os.Getenv("CNI_COMMAND"), Container: os.Getenv("CNI_CONTAINERID"), Args: os.Getenv("CNI_ARGS")}
	if err := plugin.Run(context.Background(), env, os.Stdin, os.Stdout); err != nil {
		os.Exit(1) // the answer says why
	}
}
