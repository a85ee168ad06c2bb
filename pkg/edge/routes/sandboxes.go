package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"openshell.ai/openshell/pkg/edge"
)

const maxSandboxRoutes = 4 << 20

// ReadSandboxes reads the file that the node writes. known is false when it is
// not there, which says nothing about sandboxes.
func ReadSandboxes(path string) (set []edge.SandboxRoute, known bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSandboxRoutes+1))
	if err == nil {
		set, err = DecodeSandboxes(data)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return set, true, nil
}

// DecodeSandboxes reads a full set of exposed ports, or nothing of it.
func DecodeSandboxes(data []byte) ([]edge.SandboxRoute, error) {
	if len(data) > maxSandboxRoutes {
		return nil, fmt.Errorf("longer than %d bytes", maxSandboxRoutes)
	}
	var set []edge.SandboxRoute
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, err
	}
	if set == nil {
		return nil, errors.New("null, want an array of routes")
	}
	type key struct{ host, id string }
	seen := make(map[key]bool, len(set))
	for i, route := range set {
		if err := checkSandbox(route); err != nil {
			return nil, fmt.Errorf("route %d: %w", i+1, err)
		}
		k := key{route.Host, route.ID}
		if seen[k] {
			return nil, fmt.Errorf("route %d: name %q is there twice for sandbox %q", i+1, route.Host, route.ID)
		}
		seen[k] = true
	}
	return set, nil
}

func checkSandbox(route edge.SandboxRoute) error {
	if err := edge.CheckHost(route.Host); err != nil {
		return err
	}
	switch {
	case route.ID == "":
		return errors.New("id is empty, want the sandbox's")
	case route.Port == 0:
		return errors.New("port is 0, want 1 to 65535")
	}
	return nil
}
