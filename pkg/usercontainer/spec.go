package usercontainer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/gateway"
)

const (
	restartPolicy = "unless-stopped"
	packageFile   = "/package" // in the sidecar; it goes with it
	packageMode   = 0o600

	// labelServices is on the user's container: what it offers, for a package that
	// has to be made anew.
	labelServices = "openshell.ai/services"
)

func (m *Manager) labels(on gateway.Name, name string) map[string]string {
	labels := on.Labels(m.Version)
	maps.Copy(labels, on.UserContainers())
	labels[gateway.LabelContainer] = name
	return labels
}

// logOptions bound what Docker keeps of a container's output.
func logOptions() map[string]string { return map[string]string{"max-size": "10m", "max-file": "3"} }

// sidecarSpec is the container that joins the VPN: a part of the node's image,
// with no more rights than a tunnel needs.
func (m *Manager) sidecarSpec(o observed) docker.ContainerSpec {
	return docker.ContainerSpec{
		Name:       o.on.Sidecar(o.name),
		Hostname:   o.name, // the user's container has it as well
		Image:      o.node.ImageID,
		Labels:     m.labels(o.on, o.name),
		Entrypoint: []string{"/bin/sh", "-ec", "nft -f " + rulesFile + "\nexec " + edge.BuiltIn + "/bin/app-gateway client run " + packageFile},
		Network:    o.on.Resource(), // where Docker's DNS knows the gateway by name
		Tmpfs:      map[string]string{"/run": "rw,nosuid,nodev,noexec,mode=755", "/tmp": "rw,nosuid,nodev,noexec,mode=1777"},
		CapDrop:    []string{"ALL"},
		CapAdd: []string{
			"NET_ADMIN", // the tunnel's interface and address, and the rules
		},
		Devices: []string{
			"/dev/net/tun", // the tunnel
		},
		SecurityOpt:   []string{"no-new-privileges"},
		RestartPolicy: restartPolicy,
		StopSignal:    "SIGTERM",
		NoHealthcheck: true, // the image's is of a node
		LogOptions:    logOptions(),
	}
}

// userSpec is the user's container. Nothing of it is ours but the network.
func (m *Manager) userSpec(o observed, opts Options, sidecar string) docker.ContainerSpec {
	labels := m.labels(o.on, o.name)
	labels[labelServices] = encodeServices(opts.Services)
	return docker.ContainerSpec{
		Name:          o.on.UserContainer(o.name),
		Image:         opts.Image,
		Labels:        labels,
		Cmd:           opts.Argv,
		Env:           opts.Env,
		NetworkOf:     sidecar,
		RestartPolicy: restartPolicy,
		LogOptions:    logOptions(),
	}
}

func encodeServices(services []Served) string {
	words := make([]string, len(services))
	for i, s := range services {
		words[i] = fmt.Sprintf("%s:%d", s.Host, s.Port)
	}
	return strings.Join(words, ",")
}

// servicesOf are the services that a container's label tells. What nobody of us
// wrote is left out.
func servicesOf(labels map[string]string) []Served {
	var services []Served
	for word := range strings.SplitSeq(labels[labelServices], ",") {
		if s, err := ParseServed(word); err == nil && !slices.ContainsFunc(services, func(t Served) bool { return t.Host == s.Host }) {
			services = append(services, s)
		}
	}
	return services
}

// ParseServed reads NAME:PORT.
func ParseServed(text string) (Served, error) {
	host, number, found := strings.Cut(text, ":")
	port, err := strconv.ParseUint(number, 10, 16)
	if !found || err != nil || port == 0 || number != strconv.FormatUint(port, 10) {
		return Served{}, fmt.Errorf("service %q is not NAME:PORT with a port from 1 to 65535", text)
	}
	if err := edge.CheckHost(host); err != nil {
		return Served{}, fmt.Errorf("service %q: %w", text, err)
	}
	return Served{Host: host, Port: uint16(port)}, nil
}
