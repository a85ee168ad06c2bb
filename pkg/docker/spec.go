package docker

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// networkOf begins the network mode of a container that shares another's.
const networkOf = "container:"

// createOptions translates a spec. Errors name the field.
func createOptions(spec ContainerSpec) (client.ContainerCreateOptions, error) {
	cfg := &container.Config{
		Hostname: spec.Hostname, Image: spec.Image, Labels: spec.Labels, Entrypoint: spec.Entrypoint, Cmd: spec.Cmd,
		Env: spec.Env, StopSignal: spec.StopSignal,
	}
	if spec.NoHealthcheck {
		cfg.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	}
	if spec.StopTimeout > 0 {
		cfg.StopTimeout = new(seconds(spec.StopTimeout))
	}
	host := &container.HostConfig{
		NetworkMode: container.NetworkMode(spec.Network), CapAdd: spec.CapAdd, CapDrop: spec.CapDrop, SecurityOpt: spec.SecurityOpt,
		Tmpfs: spec.Tmpfs, AutoRemove: spec.AutoRemove,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(spec.RestartPolicy)},
		Resources:     container.Resources{NanoCPUs: spec.NanoCPUs, Memory: spec.Memory},
	}
	if spec.NetworkOf != "" {
		host.NetworkMode = container.NetworkMode(networkOf + spec.NetworkOf)
	}
	if spec.LogOptions != nil {
		host.LogConfig = container.LogConfig{Type: "json-file", Config: spec.LogOptions}
	}
	if spec.PrivateCgroup {
		host.CgroupnsMode = container.CgroupnsModePrivate
	}
	for _, dev := range spec.Devices {
		host.Devices = append(host.Devices, container.DeviceMapping{PathOnHost: dev, PathInContainer: dev, CgroupPermissions: "rwm"})
	}
	for target, name := range spec.Volumes {
		// Without NoCopy the engine fills an empty volume with what the image
		// has at the mount point, and an unborn state would look damaged.
		host.Mounts = append(host.Mounts, mount.Mount{
			Type: mount.TypeVolume, Source: name, Target: target, VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		})
	}
	slices.SortFunc(host.Mounts, func(a, b mount.Mount) int { return cmp.Compare(a.Target, b.Target) })
	if err := publish(cfg, host, spec.Ports); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	return client.ContainerCreateOptions{Name: spec.Name, Config: cfg, HostConfig: host}, nil
}

func publish(cfg *container.Config, host *container.HostConfig, ports []Port) error {
	if len(ports) == 0 {
		return nil
	}
	cfg.ExposedPorts, host.PortBindings = network.PortSet{}, network.PortMap{}
	for i, p := range ports {
		if p.Host < 1 || p.Host > 65535 || p.Container < 1 || p.Container > 65535 {
			return fmt.Errorf("port %d: %d -> %d is out of range, ports are 1 to 65535", i, p.Host, p.Container)
		}
		addr, err := netip.ParseAddr(p.Bind)
		if err != nil {
			return fmt.Errorf("port %d: bind address: %w", i, err)
		}
		inside, err := network.ParsePort(fmt.Sprintf("%d/%s", p.Container, p.Proto))
		if err != nil {
			return fmt.Errorf("port %d: %w", i, err)
		}
		cfg.ExposedPorts[inside] = struct{}{}
		host.PortBindings[inside] = append(host.PortBindings[inside],
			network.PortBinding{HostIP: addr, HostPort: strconv.Itoa(p.Host)})
	}
	return nil
}

// published is the inverse of publish, in the order of host ports. A range or
// an empty host port, which this package never configures, counts as 0.
func published(bindings network.PortMap) []Port {
	var out []Port
	for inside, list := range bindings {
		for _, b := range list {
			host, err := strconv.Atoi(b.HostPort)
			if err != nil {
				host = 0
			}
			p := Port{Host: host, Container: int(inside.Num()), Proto: string(inside.Proto())}
			if b.HostIP.IsValid() {
				p.Bind = b.HostIP.String()
			}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Bind, b.Bind))
	})
	return out
}

func trimSlash(name string) string { return strings.TrimPrefix(name, "/") }
