package bootstrap

import (
	_ "embed" // the seccomp profile
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	restartPolicy = "unless-stopped"
	stopTimeout   = 45 * time.Second // more than the graces of the node's components together
	stateMount    = nodeapi.VolumeRoot

	apiContainerPort  = nodeapi.GatewayPort
	httpContainerPort = nodeapi.HTTPPort
	vpnContainerPort  = nodeapi.VPNPort
)

// seccompProfile is Docker's default profile and pivot_root, with which the
// runc inside the node changes the root of its containers. The engine's own
// default is not used because it cannot be extended by reference; see
// seccomp_test.go, which also writes the file.
//
//go:embed seccomp.json
var seccompProfile string

// containerSpec is the gateway's container. It carries no secret.
func containerSpec(s gateway.Settings, labels map[string]string) docker.ContainerSpec {
	name := s.Name.Resource()
	return docker.ContainerSpec{
		Name:     name,
		Hostname: s.Name.Hostname(),
		Image:    s.Image.ID,
		Labels:   labels,
		Network:  name,
		Volumes:  map[string]string{stateMount: name},
		Tmpfs: map[string]string{
			// No socket, pid or lock file survives a restart. The kubelet and
			// runc run nothing from there, but pods mount parts of /run.
			"/run": "rw,nosuid,nodev,exec,mode=755",
			"/tmp": "rw,nosuid,nodev,exec,mode=1777",
		},
		Ports: publishedPorts(s),
		CapAdd: []string{
			"SYS_ADMIN", // mounts, control groups and namespaces of the pods
			"NET_ADMIN", // the pods' interfaces and nftables rules
		},
		Devices: []string{
			"/dev/net/tun", // OpenVPN
		},
		SecurityOpt: []string{
			"apparmor=unconfined", // Docker's profile denies every mount
			"seccomp=" + seccompProfile,
		},
		PrivateCgroup: true, // the kubelet manages a tree of its own, not the host's
		RestartPolicy: restartPolicy,
		StopSignal:    "SIGTERM",
		StopTimeout:   stopTimeout,
		LogOptions:    map[string]string{"max-size": "10m", "max-file": "3"},
		NanoCPUs:      int64(math.Round(s.CPUs * 1e9)),
		Memory:        s.Memory,
	}
}

// publishedPorts are the host ports of a gateway.
func publishedPorts(s gateway.Settings) []docker.Port {
	ports := []docker.Port{{Host: s.Port, Bind: s.Bind, Container: apiContainerPort, Proto: "tcp"}}
	if s.HTTPPort != 0 {
		ports = append(ports, docker.Port{Host: s.HTTPPort, Bind: s.Bind, Container: httpContainerPort, Proto: "tcp"})
	}
	if s.VPNPort != 0 {
		ports = append(ports, docker.Port{Host: s.VPNPort, Bind: s.Bind, Container: vpnContainerPort, Proto: "udp"})
	}
	return ports
}

// endpointOf is the URL of the gateway API that a container publishes, as
// reached from this host; empty if it publishes none.
func endpointOf(ports []docker.Port) string {
	for _, p := range ports {
		if p.Container == apiContainerPort {
			return endpointURL(p.Bind, p.Host)
		}
	}
	return ""
}

func endpointURL(bind string, port int) string {
	addr, err := netip.ParseAddr(bind)
	switch {
	case err != nil || addr == netip.IPv4Unspecified():
		bind = "127.0.0.1"
	case addr == netip.IPv6Unspecified():
		bind = "::1"
	}
	return "https://" + net.JoinHostPort(bind, strconv.Itoa(port))
}

// certificateHosts are the SANs of the server certificate beyond the fixed
// ones: what the user asked for, and the address clients connect to.
func certificateHosts(s gateway.Settings) []string {
	switch s.Bind {
	case "127.0.0.1", "::1", "0.0.0.0", "::":
		return s.GatewayHosts
	}
	return normalHosts(append([]string{s.Bind}, s.GatewayHosts...))
}
