package containers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

	"openshell.ai/openshell/pkg/edge"
)

// version of the document.
const version = 1

// document is the registry as it stands in its file.
type document struct {
	Version    int         `json:"version"`
	Next       netip.Addr  `json:"next"` // where the search for a free address begins
	Containers []Container `json:"containers"`
}

// Clients have addresses from first to last. What is before is the gateway's.
var (
	network = netip.MustParsePrefix(edge.VPNNetwork)
	first   = netip.MustParseAddr("172.16.1.1")
	last    = netip.MustParseAddr("172.16.255.254")
)

func assignable(a netip.Addr) bool {
	return network.Contains(a) && first.Compare(a) <= 0 && a.Compare(last) <= 0
}

// decode reads a document and refuses one that this package would not write.
func decode(data []byte) (document, error) {
	var d document
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return document{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return document{}, fmt.Errorf("there is something after its end")
	}
	if d.Version != version {
		return document{}, fmt.Errorf("version is %d; this program knows %d", d.Version, version)
	}
	return d, d.check()
}

func (d document) check() error {
	if !assignable(d.Next) {
		return fmt.Errorf("next is %s; accepted are %s to %s", d.Next, first, last)
	}
	if len(d.Containers) > MaxContainers {
		return fmt.Errorf("%d containers are more than %d", len(d.Containers), MaxContainers)
	}
	ids, names, addresses := map[string]bool{}, map[string]bool{}, map[netip.Addr]bool{}
	for i, c := range d.Containers {
		if err := c.check(); err != nil {
			return fmt.Errorf("container %d: %w", i, err)
		}
		if ids[c.ID] || names[c.Name] || addresses[c.Address] {
			return fmt.Errorf("container %d has the id, name or address of another", i)
		}
		ids[c.ID], names[c.Name], addresses[c.Address] = true, true, true
	}
	return nil
}

func (c Container) check() error {
	if err := CheckID(c.ID); err != nil {
		return err
	}
	if err := CheckName(c.Name); err != nil {
		return err
	}
	if err := CheckKind(c.Kind); err != nil {
		return err
	}
	if !hashForm.MatchString(c.TokenHash) {
		return fmt.Errorf("tokenHash is not 64 hexadecimal digits")
	}
	if !assignable(c.Address) {
		return fmt.Errorf("address is %s; accepted are %s to %s", c.Address, first, last)
	}
	return CheckServices(c.Services)
}

func (d document) encode() ([]byte, error) {
	data, err := json.MarshalIndent(d, "", "  ")
	return append(data, '\n'), err
}

// assign takes the next free address. One that was freed comes round last, so
// that what still leads to it does not lead to another container.
func (d *document) assign() netip.Addr {
	taken := make(map[netip.Addr]bool, len(d.Containers))
	for _, c := range d.Containers {
		taken[c.Address] = true
	}
	address := d.Next
	for taken[address] { // there are many more addresses than containers
		address = after(address)
	}
	d.Next = after(address)
	return address
}

func after(a netip.Addr) netip.Addr {
	if next := a.Next(); assignable(next) {
		return next
	}
	return first
}

// find answers the index of a container by its id or name.
func (d document) find(idOrName string) (int, error) {
	for i, c := range d.Containers {
		if c.ID == idOrName || c.Name == idOrName {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%.80q: %w", idOrName, ErrNotFound)
}
