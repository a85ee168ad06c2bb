package bootstrap

import (
	"fmt"
	"strings"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// Decide makes the plan of a start from a snapshot. It is pure. An error is a
// refusal: nothing may be touched.
func Decide(o Observed, opts StartOptions) (Plan, error) {
	if err := opts.Validate(); err != nil {
		return Plan{}, err
	}
	p := Plan{Name: o.Name, Was: o.Word(), up: o.up()}
	if o.Container != nil {
		p.container, p.restarts = o.Container.ID, o.Container.Restarts
	}
	switch p.Was {
	case Foreign:
		return Plan{}, foreignError(o)
	case Removing:
		return o.awaitRemoval(p), nil
	case Unknown:
		return Plan{}, fault.New(fault.DockerFailed, fault.ExitUnreachable, "container %s is in the state %q, which this openshell does not know",
			o.Name.Resource(), o.Container.State)
	}
	if o.Helper {
		p.add(RemoveHelper, "an interrupted run left a helper container")
	}
	switch {
	case opts.Recreate && p.Was != Absent:
		return o.recreate(p, opts)
	case o.Content == ContentNewer:
		return Plan{}, newerError(o)
	case p.Was == Unborn && o.Content == ContentEmpty && len(o.Asides) > 0 && !opts.beside:
		return Plan{}, onlyAsidesError(o)
	case p.Was == Absent, p.Was == Unborn:
		return o.fresh(p, opts)
	case p.Was == Broken:
		return Plan{}, brokenError(o)
	case o.Content == ContentUnknown:
		return o.prepare(p, opts, fault.New(fault.ImageMissing, fault.ExitFailure,
			"there is no node image to open volume %s with", o.Name.Resource()).
			Hint("load it: `openshell gateway start %s --image-archive FILE`", o.Name))
	}
	return o.resume(p, opts)
}

// awaitRemoval waits for a container that is on its way out.
func (o Observed) awaitRemoval(p Plan) Plan {
	p.Action, p.Again = ActionPrepare, true
	if o.Container.State == docker.StateDead {
		p.add(RemoveContainer, "its removal stopped half way")
	} else {
		p.add(WaitRemoval, "it is being removed")
	}
	return p
}

// prepare loads the image archive that was given, or refuses with otherwise.
func (o Observed) prepare(p Plan, opts StartOptions, otherwise error) (Plan, error) {
	if opts.ImageArchive == "" {
		return Plan{}, otherwise
	}
	p.Action, p.Again, p.Archive = ActionPrepare, true, opts.ImageArchive
	p.add(LoadImage, "from %s", opts.ImageArchive)
	return p, nil
}

// finish adds what every plan ends with.
func (o Observed) finish(p *Plan) {
	secrets, healthy := "verify, and repair what is not valid", "the endpoint must answer"
	if p.Action == ActionFresh || p.Action == ActionRecreate {
		secrets, healthy = "a new gateway has none", "first boot"
	}
	p.alongside(ReconcileSecrets, secrets)
	p.alongside(WriteHostFiles, "the host's copy must match the cluster")
	p.add(AwaitHealthy, "%s", healthy)
	if p.Settings.Initialized == nil {
		p.add(MarkInitialized, "it has not been healthy before")
	}
	if cause := o.edgeCause(); cause != "" && p.Action == ActionVerify {
		p.add(RestoreEdge, "%s", cause)
	}
	p.add(WriteMetadata, "for clients that read files")
	if o.NoneActive {
		p.add(SelectGateway, "none is selected")
	}
}

// checkHost refuses limits and addresses that the host cannot give: the engine
// would do so as well, but after the old container is gone.
func (o Observed) checkHost(want gateway.Settings, opts StartOptions) error {
	if o.Engine != nil && o.Engine.NCPU > 0 && want.CPUs > float64(o.Engine.NCPU) {
		return fault.New(fault.BadValue, fault.ExitUsage, "--cpus is %s, and the Docker Engine has %d cores", cpuWord(want.CPUs), o.Engine.NCPU).
			Hint("give a lower limit, or 0 for none: `openshell gateway start %s --cpus 0`", o.Name)
	}
	if !o.NotLocal {
		return nil
	}
	e := fault.New(fault.HostUnfit, fault.ExitFailure, "address %s, on which gateway %s publishes its ports, is not one of this host", want.Bind, o.Name)
	if opts.Bind != nil {
		e = fault.New(fault.BadValue, fault.ExitUsage, "--bind is %s, which is not an address of this host", want.Bind)
	}
	return e.Hint("give one it has: `openshell gateway start %s --bind ADDRESS`", o.Name)
}

// checkPorts refuses ports that collide with each other or are held by others.
func (o Observed) checkPorts(want gateway.Settings) error {
	if want.HTTPPort == want.Port {
		return fault.New(fault.BadValue, fault.ExitUsage, "--port and --http-port are both %d", want.Port)
	}
	for _, port := range publishedPorts(want) {
		for _, taken := range o.Ports {
			if taken.Port == port.Host && taken.Proto == port.Proto {
				return portError(o.Name, port, taken.By)
			}
		}
	}
	return nil
}

func portError(name gateway.Name, port docker.Port, by string) error {
	flag := "port"
	switch port.Container {
	case httpContainerPort:
		flag = "http-port"
	case vpnContainerPort:
		flag = "vpn-port"
	}
	return fault.New(fault.PortInUse, fault.ExitConflict, "port %d/%s on %s is in use by %s", port.Host, port.Proto, port.Bind, by).
		Hint("free it, or choose another: `openshell gateway start %s --%s PORT`", name, flag)
}

func foreignError(o Observed) error {
	names := o.foreign()
	return fault.New(fault.Foreign, fault.ExitConflict, "%s was not made by openshell for gateway %s: it is left alone",
		strings.Join(names, " and "), o.Name).
		Hint("use another name: `openshell gateway start NAME`")
}

func newerError(o Observed) error {
	return fault.New(fault.StateNewer, fault.ExitDecision, "gateway %s was made or changed by a newer openshell; nothing was changed", o.Name).
		Hint("update openshell, then run the command again").Because(o.Damage)
}

// onlyAsidesError: whether a state that was set aside comes back, or an empty
// gateway begins beside it, is for the user to say.
func onlyAsidesError(o Observed) error {
	e := fault.New(fault.StateLost, fault.ExitDecision, "volume %s holds states that were set aside and no present one", o.Name.Resource())
	for _, command := range restores(o)[:min(len(o.Asides), maxHints)] {
		e.Hint("bring one back: `%s`", command)
	}
	return e
}

func brokenError(o Observed) error {
	volume := o.Name.Resource()
	var e *fault.Error
	if o.Content == ContentDamaged {
		e = fault.New(fault.StateDamaged, fault.ExitDecision, "the settings of gateway %s on volume %s cannot be read; nothing was changed", o.Name, volume).
			Because(o.Damage)
		for _, aside := range o.Asides {
			e.Hints = []string{fmt.Sprintf("go back to an earlier state: `openshell gateway restore %s --name %s`", aside, o.Name)}
		}
	} else {
		e = fault.New(fault.StateLost, fault.ExitDecision, "volume %s is gone, and with it the state of gateway %s", volume, o.Name)
	}
	return e.Hint("when the state is given up, start over: `openshell gateway start %s --recreate`", o.Name)
}
