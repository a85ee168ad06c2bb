package bootstrap

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// resume brings a gateway back from its volume, in every state but those that
// start from nothing.
func (o Observed) resume(p Plan, opts StartOptions) (Plan, error) {
	if err := o.refuseOlder(o.Settings.Image); err != nil {
		return Plan{}, err
	}
	want, changes := opts.apply(o.Settings)
	keep := o.up() && len(changes) == 0
	var network networkPlan
	var renew []string
	if !keep {
		var err error
		if network, err = o.planNetwork(want); err != nil {
			return Plan{}, err
		}
		want.Network.Subnet = network.subnet
		renew = o.renewCauses(want, changes, network)
		if err := o.checkHost(want, opts); err != nil {
			return Plan{}, err
		}
		if err := o.checkPorts(want); err != nil {
			return Plan{}, err
		}
	}
	if o.Container == nil || len(renew) > 0 {
		img, err := o.imageFor(want.Image)
		if err != nil {
			return o.prepare(p, opts, err)
		}
		if img != want.Image {
			p.note("image %s is gone: another build of version %s is used", shortID(want.Image.ID), img.Version)
		}
		want.Image = img
	}
	switch {
	case o.Image == nil && opts.Image != "":
		p.Warnings = append(p.Warnings, fmt.Sprintf("image %s is not there, and would not be used: a start never changes the image of a gateway", opts.Image))
	case o.Image != nil && o.Image.ID != want.Image.ID:
		p.Warnings = append(p.Warnings, fmt.Sprintf("image %s is not used: a start never changes the image of a gateway", o.ImageRef))
	}
	if opts.ImageArchive != "" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s is not loaded: the image of the gateway is there", opts.ImageArchive))
	}
	p.Settings, p.before = want, o.Settings
	p.Notes = append(p.Notes, network.notes...)
	p.Action = ActionResume
	if o.up() && len(renew) == 0 && p.Was != Paused && p.Was != CrashLooping && !o.gaveUp() {
		p.Action, p.session = ActionVerify, o.session
	}
	o.containerSteps(&p, renew, network)
	o.finish(&p)
	return p, nil
}

// containerSteps adds what leads to a running container with p.Settings.
func (o Observed) containerSteps(p *Plan, renew []string, network networkPlan) {
	cause := strings.Join(renew, "; ")
	write := !reflect.DeepEqual(p.Settings, o.Settings)
	if o.Container != nil && len(renew) > 0 {
		p.note("the container is made anew over volume %s: %s", o.Name.Resource(), cause)
		if o.up() {
			p.add(StopContainer, "%s", cause)
		}
	}
	// Into the old container, so that a run that ends here has not lost what
	// was asked for; into the new one where there is no other.
	if write && o.Container != nil {
		p.add(WriteSettings, "%s", settingsCause(cause))
	}
	if o.Container != nil && len(renew) > 0 {
		p.add(RemoveContainer, "%s", cause)
	}
	if network.remove != "" {
		p.add(RemoveNetwork, "%s", network.remove)
	}
	if network.create != "" {
		p.add(CreateNetwork, "%s", network.create)
	}
	if o.Container == nil || len(renew) > 0 {
		if cause == "" {
			cause = "volume only"
		}
		p.add(CreateContainer, "%s", cause)
		if write && o.Container == nil {
			p.add(WriteSettings, "%s", settingsCause(strings.Join(network.notes, "; ")))
		}
		p.add(StartContainer, "%s", cause)
		return
	}
	if policy := o.Container.RestartPolicy; policy != restartPolicy {
		p.add(SetRestartPolicy, "it is %q", policy)
	}
	switch p.Was {
	case DegradedWord:
		p.note("it does not answer: %s", o.diagnosis())
		if o.gaveUp() {
			p.add(StopContainer, "the node gave up")
			p.add(StartContainer, "what stopped it may be gone")
		}
	case Paused:
		p.add(UnpauseContainer, "it is paused")
	case CrashLooping:
		if o.LastLine != "" {
			p.note("the node ended %d times, at last with: %s", o.Container.Restarts, o.LastLine)
		}
		p.add(StopContainer, "the node keeps ending")
		p.add(StartContainer, "one more attempt")
	case Stopped:
		p.add(StartContainer, "it is %s", o.Container.State)
	}
}

// gaveUp reports that the node waits for somebody to start it again.
func (o Observed) gaveUp() bool {
	return o.Node != nil && o.Node.Phase == nodeapi.Failed
}

// diagnosis is what is known of a gateway that runs and is not healthy.
func (o Observed) diagnosis() string {
	switch {
	case o.Node != nil:
		return stuckAt(*o.Node)
	case o.Unhealthy != nil:
		return o.Unhealthy.Error()
	}
	return "the node gives no report"
}

func settingsCause(cause string) string {
	if cause == "" {
		return "they were out of date"
	}
	return cause
}

// networkPlan is what happens to the gateway's network.
type networkPlan struct {
	subnet         netip.Prefix
	remove, create string // causes; empty: not done
	notes          []string
}

// planNetwork keeps the network where it fits, and its range where it is free.
func (o Observed) planNetwork(want gateway.Settings) (networkPlan, error) {
	n := networkPlan{subnet: want.Network.Subnet}
	if o.Network != nil {
		subnet, ok := ipv4Subnet(o.Network)
		by, taken := takenBy(subnet, o.Ranges)
		others := slices.ContainsFunc(o.Network.Containers, func(c string) bool { return c != o.Name.Resource() && !o.Name.IsSidecar(c) })
		if ok && (!taken || others) {
			n.subnet = subnet
			return n, nil
		}
		n.subnet, n.remove = subnet, "its range is taken by "+by
		if !ok {
			n.subnet, n.remove = want.Network.Subnet, "it has no IPv4 range"
		}
	}
	n.create = "it was removed"
	if n.remove != "" {
		n.create = n.remove
	}
	if by, taken := takenBy(n.subnet, o.Ranges); taken {
		free, err := pickSubnet(want.Network, o.Ranges)
		if err != nil {
			return networkPlan{}, err
		}
		n.notes = append(n.notes, fmt.Sprintf("network range %s is taken by %s: %s is used from now on", n.subnet, by, free))
		n.subnet = free
	}
	return n, nil
}

// renewCauses says why the container that is there cannot be used as it is.
func (o Observed) renewCauses(want gateway.Settings, changes []change, network networkPlan) []string {
	c := o.Container
	if c == nil {
		return nil
	}
	var causes []string
	for _, ch := range changes {
		causes = append(causes, ch.String())
	}
	if len(causes) == 0 {
		causes = drift(*c, containerSpec(want, nil))
	}
	switch id := c.NetworkIDs[o.Name.Resource()]; {
	case network.create != "":
		causes = append(causes, "its network has to be made anew")
	case id != "" && o.Network != nil && id != o.Network.ID:
		causes = append(causes, "its network was made anew")
	}
	return causes
}

// drift compares a container with what it would be created as.
func drift(c docker.Container, spec docker.ContainerSpec) []string {
	var causes []string
	differs := func(what, have, want string) {
		if have != want {
			causes = append(causes, fmt.Sprintf("%s is %s, settings say %s", what, have, want))
		}
	}
	differs("hostname", c.Hostname, spec.Hostname)
	differs("volume", c.Volumes[stateMount], spec.Volumes[stateMount])
	differs("published ports", portList(c.Ports), portList(spec.Ports))
	differs("cpu limit", cpuWord(float64(c.NanoCPUs)/1e9), cpuWord(float64(spec.NanoCPUs)/1e9))
	differs("memory limit", memoryWord(c.Memory), memoryWord(spec.Memory))
	return causes
}

func portList(ports []docker.Port) string {
	words := make([]string, 0, len(ports))
	for _, p := range ports {
		words = append(words, fmt.Sprintf("%s:%d->%d/%s", p.Bind, p.Host, p.Container, p.Proto))
	}
	slices.Sort(words)
	return list(words)
}

func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
