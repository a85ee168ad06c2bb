// Package client is a user container's side of the VPN: the package that the
// gateway makes for it, and the agent that joins with it and stays joined.
package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"regexp"

	"openshell.ai/openshell/pkg/edge/containers"
)

const (
	packageVersion = 1
	maxPackage     = 256 << 10
	maxRemotes     = 16
)

// Package is all that a container needs to join: one file, which is secret.
type Package struct {
	Version  int                  `json:"version"`
	ID       string               `json:"id"`
	Name     string               `json:"name"`
	Token    string               `json:"token"`
	Address  netip.Addr           `json:"address"`           // of the container in the VPN
	Gateway  string               `json:"gateway"`           // base URL inside the VPN
	Remotes  []Remote             `json:"remotes,omitempty"` // where the VPN is, the first that answers counts
	Services []containers.Service `json:"services"`
	Config   string               `json:"config"` // OpenVPN's, with keys and certificates in it
}

// Remote is a place where the VPN may be reached, by UDP.
type Remote struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

var (
	hostForm  = regexp.MustCompile(`^[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}$`)
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{20,200}$`)
)

// CheckRemote reports why a place cannot be a remote.
func CheckRemote(r Remote) error {
	if !hostForm.MatchString(r.Host) {
		return fmt.Errorf("remote %.80q is no host name or address", r.Host)
	}
	if r.Port == 0 {
		return fmt.Errorf("port of remote %s is 0; accepted are 1 to 65535", r.Host)
	}
	return nil
}

// ReadPackage reads a package's file.
func ReadPackage(path string) (Package, error) {
	f, err := os.Open(path)
	if err != nil {
		return Package{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPackage+1))
	if err != nil {
		return Package{}, err
	}
	p, err := ParsePackage(data)
	if err != nil {
		return Package{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ParsePackage reads a package and checks that the agent can use it.
func ParsePackage(data []byte) (Package, error) {
	if len(data) > maxPackage {
		return Package{}, fmt.Errorf("package has more than %d bytes", maxPackage)
	}
	var p Package
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&p); err != nil {
		return Package{}, fmt.Errorf("package: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Package{}, errors.New("package: there is something after its end")
	}
	return p, p.check()
}

func (p Package) check() error {
	if p.Version != packageVersion {
		return fmt.Errorf("version of the package is %d; this program knows %d", p.Version, packageVersion)
	}
	if err := containers.CheckID(p.ID); err != nil {
		return err
	}
	if err := containers.CheckName(p.Name); err != nil {
		return err
	}
	if !tokenForm.MatchString(p.Token) {
		return errors.New("token is not 20 to 200 letters, digits, - and _")
	}
	if !p.Address.Is4() {
		return errors.New("address is no IPv4 address")
	}
	gateway, err := url.Parse(p.Gateway)
	if err != nil || gateway.Scheme != "http" || gateway.Host == "" || gateway.User != nil ||
		gateway.Path != "" || gateway.RawQuery != "" || gateway.Fragment != "" {
		return fmt.Errorf("gateway %.80q is not of the form http://ADDRESS", p.Gateway)
	}
	if len(p.Remotes) == 0 || len(p.Remotes) > maxRemotes {
		return fmt.Errorf("%d remotes; accepted are 1 to %d", len(p.Remotes), maxRemotes)
	}
	for _, r := range p.Remotes {
		if err := CheckRemote(r); err != nil {
			return err
		}
	}
	if err := containers.CheckServices(p.Services); err != nil {
		return err
	}
	return checkConfig(p.Config)
}
