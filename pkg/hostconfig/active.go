package hostconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openshell.ai/openshell/pkg/gateway"
)

// Active is the selected gateway. When none is selected the error is
// fs.ErrNotExist.
func (s *Store) Active() (gateway.Name, error) {
	path := filepath.Join(s.root, activeFile)
	data, err := readFile(path)
	if err != nil {
		return "", fmt.Errorf("selected gateway: %w", err)
	}
	name, err := parseActive(data)
	if err != nil {
		return "", damaged(path, "select one again: `openshell gateway select NAME`", err)
	}
	return name, nil
}

// SetActive selects a gateway.
func (s *Store) SetActive(name gateway.Name) error {
	if _, err := gateway.ParseName(string(name)); err != nil {
		return err
	}
	if err := makeDir(s.root); err != nil {
		return err
	}
	if active, err := s.Active(); err == nil && active == name {
		return nil
	}
	return s.writeFile(filepath.Join(s.root, activeFile), []byte(string(name)+"\n"))
}

// ClearActive forgets the selection if it is name. A damaged selection names
// nothing and stays.
func (s *Store) ClearActive(name gateway.Name) error {
	path := filepath.Join(s.root, activeFile)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if active, err := parseActive(data); err != nil || active != name {
		return nil
	}
	if err := s.commit(path, func() error { return os.Remove(path) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	return nil
}

// parseActive reads active_gateway: one name, with or without a line end.
func parseActive(data []byte) (gateway.Name, error) {
	return gateway.ParseName(strings.TrimRight(string(data), "\r\n"))
}
