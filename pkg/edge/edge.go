// Package edge is the vocabulary of the edge: the services that nginx leads to,
// and the places where its scripts, its processes and the CLI meet.
package edge

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
)

// Addresses inside the container.
const (
	AppAddress = "127.0.0.1:8888" // app-gateway, behind nginx
	VPNGateway = "172.16.0.1"     // the container as VPN clients see it; nginx is on port 80
	VPNNetwork = "172.16.0.0/16"
)

// Places inside the container.
const (
	Root           = "/opt/gateway"                         // releases, and current, the one that is used; on the volume
	BuiltIn        = "/opt/openshell/release"               // the image's own release
	Scripts        = "/app"                                 // scripts of the current release
	StateDir       = "/var/lib/openshell/current/edge"      // on the volume, root's alone
	VPNStateDir    = StateDir + "/vpn"                      // keys of this epoch
	ContainersFile = StateDir + "/containers.json"          // user containers and their tokens' hashes
	NamesFile      = StateDir + "/names.json"               // who owns which service name
	SpoolDir       = StateDir + "/spool"                    // pushes to send later
	LogFile        = "/logs/gateway.log"                    // of app-gateway
	RunDir         = "/run/openshell-edge"                  // ends with the container
	ControlSocket  = RunDir + "/control.sock"               // of app-gateway, root's alone
	ResetFile      = RunDir + "/reset.json"                 // phase and result of the last reset
	SandboxRoutes  = RunDir + "/sandbox-routes.json"        // written by the node: exposed ports of sandboxes
	ProjectConfig  = "/tmp/project-config.json"             // what reload resumes from and reset blanks
	NginxConfig    = "/etc/nginx/conf.d/reverse-proxy.conf" // the live configuration
)

// Service is a place that nginx leads to, as /Host and as Host.localhost.
type Service struct {
	Host string
	IP   netip.Addr
	Port uint16
}

// hostName is a DNS label.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// reserved are first path segments and names that belong to the gateway.
var reserved = []string{"collab", "502", "permissions", "oauth", "localhost", "gateway", "www"}

// CheckHost reports why a name cannot be a service's.
func CheckHost(name string) error {
	if !hostName.MatchString(name) {
		return fmt.Errorf("name %q is not 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", name)
	}
	if slices.Contains(reserved, name) {
		return fmt.Errorf("name %q is the gateway's own", name)
	}
	return nil
}

// SandboxRoute is one exposed port of a sandbox in SandboxRoutes.
type SandboxRoute struct {
	Host    string     `json:"host"`
	Sandbox string     `json:"sandbox"`     // its name
	ID      string     `json:"id"`          // of the sandbox
	IP      netip.Addr `json:"ip,omitzero"` // of its pod; the zero value: it has none now
	Port    uint16     `json:"port"`
}
