package edgehost

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
)

// environmentFile has a NAME=value a line: what the node gives the edge's
// entrypoint, and whoever runs a command of the edge by exec.
const environmentFile = "node.environment"

func (h *Host) writeEnvironment(id string) error {
	path := filepath.Join(h.run, environmentFile)
	return durable.Replace(path, []byte(strings.Join(h.environment(id), "\n")+"\n"), 0o600)
}

// Environment is what the edge's scripts are told by the node that runs.
func Environment() ([]string, error) {
	data, err := os.ReadFile(filepath.Join(edge.RunDir, environmentFile))
	if err != nil {
		return nil, fmt.Errorf("edge: the node has not prepared it yet: %w", err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n"), nil
}
