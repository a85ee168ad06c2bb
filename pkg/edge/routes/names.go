// Package routes decides which services nginx leads to: exposed ports of
// sandboxes and live services of user containers, under one registry of names.
package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// Owner is who a name belongs to.
type Owner struct{ Kind, ID string }

func (o Owner) String() string { return o.Kind + "/" + o.ID }

// Names is the registry: first come, owner kept, also over restarts.
type Names struct {
	path   string
	owners map[string]string
	saved  map[string]string
}

// OpenNames reads the registry of a file, which need not exist. A damaged one is
// set aside: the error says so, and the registry is empty and usable.
func OpenNames(path string) (*Names, error) {
	n := &Names{path: path, owners: map[string]string{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err == nil {
		n.owners, err = decodeNames(data)
	}
	if err != nil {
		aside := fmt.Sprintf("%s.damaged-%d", path, time.Now().Unix())
		err = fmt.Errorf("%s: %w: set aside as %s", path, err, aside)
		n.owners = map[string]string{}
		return n, errors.Join(err, os.Rename(path, aside))
	}
	n.saved = maps.Clone(n.owners)
	return n, nil
}

func decodeNames(data []byte) (map[string]string, error) {
	var owners map[string]string
	if err := json.Unmarshal(data, &owners); err != nil {
		return nil, err
	}
	if owners == nil {
		return nil, errors.New("null, want an object of names and owners")
	}
	for host := range owners {
		if err := edge.CheckHost(host); err != nil {
			return nil, err
		}
	}
	return owners, nil
}

// claim gives a free name to its first claimant, and answers whether it is the
// claimant's.
func (n *Names) claim(host string, owner Owner) bool {
	holder, taken := n.owners[host]
	if !taken {
		holder = owner.String()
		n.owners[host] = holder
	}
	return holder == owner.String()
}

// holder is who has a name, for people.
func (n *Names) holder(host string) string { return n.owners[host] }

// free gives up the names for which kept is false.
func (n *Names) free(kept func(host, owner string) bool) {
	maps.DeleteFunc(n.owners, func(host, owner string) bool { return !kept(host, owner) })
}

// save writes the file if the registry differs from it.
func (n *Names) save() error {
	if n.saved != nil && maps.Equal(n.saved, n.owners) {
		return nil
	}
	data, err := json.MarshalIndent(n.owners, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(n.path, append(data, '\n'), 0o600); err != nil {
		return err
	}
	n.saved = maps.Clone(n.owners)
	return nil
}

func sandboxOwner(id string) Owner { return Owner{edgeapi.KindSandbox, id} }

func splitOwner(owner string) (kind, id string) {
	kind, id, _ = strings.Cut(owner, "/")
	return kind, id
}
