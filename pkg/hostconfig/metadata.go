package hostconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"openshell.ai/openshell/pkg/gateway"
)

// Metadata reads the gateway's metadata. When there is none the error is
// fs.ErrNotExist.
func (s *Store) Metadata(name gateway.Name) (Metadata, error) {
	path := filepath.Join(s.GatewayDir(name), metadataFile)
	data, err := readFile(path)
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata of gateway %s: %w", name, err)
	}
	m, err := decodeMetadata(data)
	if err == nil && m.Name != name {
		err = fmt.Errorf("name is %q, not %q", m.Name, name)
	}
	if err != nil {
		return Metadata{}, damaged(path, "delete the file; `openshell gateway start` writes it again", err)
	}
	return m, nil
}

// WriteMetadata replaces the gateway's metadata and reports whether anything
// but UpdatedAt was different before; if nothing was, the file is left alone.
func (s *Store) WriteMetadata(name gateway.Name, m Metadata) (changed bool, err error) {
	if err := checkMetadata(m); err != nil {
		return false, fmt.Errorf("metadata of gateway %s: %w", name, err)
	}
	dir := s.GatewayDir(name)
	if err := makeDir(dir); err != nil {
		return false, err
	}
	path := filepath.Join(dir, metadataFile)
	same, err := sameMetadata(path, m)
	if err != nil || same {
		return false, err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return false, fmt.Errorf("metadata of gateway %s: %w", name, err)
	}
	return true, s.writeFile(path, append(data, '\n'))
}

// sameMetadata is false for a damaged file, which is there to be replaced.
func sameMetadata(path string, m Metadata) (bool, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	present, err := decodeMetadata(data)
	if err != nil {
		return false, nil
	}
	present.UpdatedAt, m.UpdatedAt = time.Time{}, time.Time{}
	if present != m {
		return false, nil
	}
	return hasMode(path, fileMode)
}

// decodeMetadata reads metadata.json. Unknown fields are those of a newer
// version and are ignored.
func decodeMetadata(data []byte) (Metadata, error) {
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, err
	}
	return m, checkMetadata(m)
}

func checkMetadata(m Metadata) error {
	if _, err := gateway.ParseName(string(m.Name)); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	for _, p := range []struct {
		field     string
		port, min int
	}{{"port", m.Port, 1}, {"httpPort", m.HTTPPort, 0}, {"vpnPort", m.VPNPort, 0}} {
		if p.port < p.min || p.port > 65535 {
			return fmt.Errorf("%s is %d, not %d to 65535", p.field, p.port, p.min)
		}
	}
	return nil
}
