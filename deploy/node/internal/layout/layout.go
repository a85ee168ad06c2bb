// Package layout says where everything of a node is and how this node is
// configured. Both programs of the node read it; nothing is passed in flags.
package layout

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Programs of the image.
const (
	KubeBinary       = nodeapi.KubeBinary
	ContainerdBinary = "/usr/local/bin/containerd"
	CNIBinDir        = "/opt/cni/bin"
)

// State on the volume.
const (
	PKIDir         = nodeapi.Current + "/pki"
	EtcdDir        = nodeapi.EtcdDir
	ContainerdRoot = nodeapi.Current + "/containerd"
	KubeletDir     = nodeapi.Current + "/kubelet"
	WorkspaceDir   = nodeapi.Current + "/workspaces" // persistent volumes of pods
	PodLogDir      = nodeapi.Current + "/logs/pods"
)

// Places that end with the container.
const (
	RunDir           = "/run/openshell"
	EtcdSocket       = RunDir + "/etcd.sock"
	ContainerdSocket = "/run/containerd/containerd.sock"
	ContainerdState  = "/run/containerd"
	ContainerdConfig = RunDir + "/containerd.toml"
	CNIConfDir       = RunDir + "/cni"
	CNIConfig        = CNIConfDir + "/10-openshell.conflist" // written at every boot
	ProxyConfig      = RunDir + "/kube-proxy.yaml"
	ResolvConf       = RunDir + "/resolv.conf" // what pods get
	LeaseDir         = "/run/cni/ipam"         // addresses of pods
	GatewayPodDir    = "/run/cni/gateway"      // those that belong to the gateway server
	SandboxPodDir    = "/run/cni/sandboxes"    // and those of sandboxes
	HealthyMark      = RunDir + "/healthy"     // there once the gateway was healthy in this boot
)

// Kubeconfig returns the path of a component's credentials.
func Kubeconfig(component string) string { return RunDir + "/" + component + ".kubeconfig" }

// Cert and Key are the paths of a certificate issued at this boot.
func Cert(name string) string { return RunDir + "/" + name + ".crt" }

// Key is the private key beside Cert.
func Key(name string) string { return RunDir + "/" + name + ".key" }

// Namespaces of the gateway in the cluster.
const (
	GatewayNamespace = "openshell"
	SystemNamespace  = "openshell-system"
)

// ContainerdNamespace is the one Kubernetes uses.
const ContainerdNamespace = "k8s.io"

// DNSAddress is where pods find the resolver: a link-local address on an
// interface of its own, so that it never changes and collides with nothing.
const DNSAddress = "169.254.20.10"

// ClusterDomain is the DNS domain of services.
const ClusterDomain = "cluster.local"

// Node is how this node is configured.
type Node struct {
	Settings gateway.Settings
	Name     string     // of the Kubernetes node: the container's hostname
	Link     string     // the interface with the default route
	IP       netip.Addr // of that interface
}

// ErrSettings marks a gateway.json that cannot be used.
var ErrSettings = errors.New("gateway settings")

// Load reads the settings from the volume and the address from the network.
func Load() (Node, error) {
	data, err := os.ReadFile(nodeapi.SettingsFile)
	if err != nil {
		return Node{}, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	settings, err := gateway.DecodeSettings(data)
	if err != nil {
		return Node{}, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	name, err := os.Hostname()
	if err != nil {
		return Node{}, fmt.Errorf("host name: %w", err)
	}
	link, ip, err := address(routeFile)
	if err != nil {
		return Node{}, err
	}
	return Node{Settings: settings, Name: name, Link: link, IP: ip}, nil
}

// APIServiceIP is the first address of the service range: the Kubernetes API
// as pods see it.
func (n Node) APIServiceIP() netip.Addr {
	return n.Settings.Network.ServiceCIDR.Masked().Addr().Next()
}
