package bootstrap

import (
	"net/netip"

	"openshell.ai/openshell/pkg/bootstrap/doctor"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
)

// recreate destroys what there is, then starts fresh.
func (o Observed) recreate(p Plan, opts StartOptions) (Plan, error) {
	return o.newGateway(p, opts, ActionRecreate, opts.fresh(o.FreeHTTP))
}

// fresh starts from nothing. A gateway that has never been healthy starts from
// nothing again, with the settings it was asked for.
func (o Observed) fresh(p Plan, opts StartOptions) (Plan, error) {
	want := opts.fresh(o.FreeHTTP)
	if o.Content == ContentSettings {
		want, _ = opts.apply(o.Settings)
	}
	return o.newGateway(p, opts, ActionFresh, want)
}

func (o Observed) newGateway(p Plan, opts StartOptions, action Action, want gateway.Settings) (Plan, error) {
	p.Action, p.chosePort = action, want.HTTPPort != 0 && want.HTTPPort == o.FreeHTTP
	if o.Engine != nil {
		if err := preflight(doctor.Engine(*o.Engine, o.At)); err != nil {
			return Plan{}, err
		}
	}
	if want.HTTPPort == 0 && opts.HTTPPort == nil {
		p.Warnings = append(p.Warnings, "no port from 7100 to 7199 is free: the gateway's web port is not published")
	}
	if err := o.checkHost(want, opts); err != nil {
		return Plan{}, err
	}
	if err := o.checkPorts(want); err != nil {
		return Plan{}, err
	}
	if opts.ImageArchive != "" {
		return o.prepare(p, opts, nil)
	}
	if o.Image == nil {
		p.Action, p.Again = ActionPrepare, true
		p.Settings.Image.Ref = o.ImageRef
		p.add(PullImage, "%s is not there", o.ImageRef)
		return p, nil
	}
	if err := checkImage(o.ImageRef, *o.Image); err != nil {
		return Plan{}, err
	}
	want.Image = identity(o.ImageRef, *o.Image)
	want.CreatedAt, want.Initialized = o.At, nil

	cause := "a new gateway"
	switch {
	case action == ActionRecreate:
		cause = "--recreate"
	case opts.beside:
		cause = "the former state is set aside"
	case p.Was == Unborn:
		cause = "its first boot was never finished"
	}
	if o.Container != nil {
		p.add(RemoveContainer, "%s", cause)
	}
	switch {
	case o.Volume == nil:
	case len(o.Asides) > 0 && action != ActionRecreate:
		p.add(ClearVolume, "%s; states set aside stay", cause)
	default:
		p.add(RemoveVolume, "%s", cause)
	}
	network, err := o.newRanges(&p)
	if err != nil {
		return Plan{}, err
	}
	want.Network = network
	p.Settings = want
	if o.Volume == nil || p.has(RemoveVolume) {
		p.add(CreateVolume, "%s", cause)
	}
	p.add(CreateContainer, "%s", cause)
	p.add(WriteSettings, "%s", cause)
	p.add(StartContainer, "%s", cause)
	o.finish(&p)
	return p, nil
}

// newRanges chooses address ranges, keeping a network of ours that fits.
func (o Observed) newRanges(p *Plan) (gateway.Network, error) {
	if o.Network != nil {
		subnet, ok := ipv4Subnet(o.Network)
		by, taken := takenBy(subnet, o.Ranges)
		if ok && !taken {
			n, err := pickNetwork(append(o.Ranges, TakenRange{subnet, "network " + o.Network.Name}))
			n.Subnet = subnet
			return n, err
		}
		if !ok {
			by = "nothing: it has no IPv4 range"
		}
		p.add(RemoveNetwork, "its range is taken by %s", by)
	}
	n, err := pickNetwork(o.Ranges)
	if err != nil {
		return gateway.Network{}, err
	}
	p.add(CreateNetwork, "range %s is free", n.Subnet)
	return n, nil
}

// ipv4Subnet is a network's IPv4 range.
func ipv4Subnet(n *docker.Network) (netip.Prefix, bool) {
	for _, p := range n.Subnets {
		if p.Addr().Is4() {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
