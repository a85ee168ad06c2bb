package main

import (
	"fmt"

	"openshell.ai/openshell/deploy/node/internal/controlplane"
)

// snapshotCommand makes data of etcd from a snapshot.
func snapshotCommand(args []string) error {
	if len(args) != 3 || args[0] != "build" {
		return fmt.Errorf("usage: openshell-kube snapshot build FILE DIRECTORY")
	}
	return controlplane.BuildData(args[1], args[2])
}
