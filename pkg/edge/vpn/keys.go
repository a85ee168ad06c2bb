package vpn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/client"
)

// ErrNoKeys says that the VPN was not started in this epoch.
var ErrNoKeys = errors.New("the VPN has no keys yet: start it first")

// ClientKeys reads what clients have in common in this epoch.
func ClientKeys(stateDir string) (client.Keys, error) {
	var keys client.Keys
	for name, value := range map[string]*string{
		"ca.crt": &keys.CA, "clients.crt": &keys.Certificate, "clients.key": &keys.Key, "ta.key": &keys.TA,
	} {
		path := filepath.Join(stateDir, filepath.Base(edge.VPNStateDir), name)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return client.Keys{}, fmt.Errorf("%w: %s is missing", ErrNoKeys, path)
		}
		if err != nil {
			return client.Keys{}, err
		}
		*value = string(data)
	}
	return keys, nil
}
