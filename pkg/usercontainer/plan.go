package usercontainer

import (
	"fmt"
	"slices"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
)

// op names a step. It is what progress shows.
type op string

// The steps, roughly in the order in which plans have them.
const (
	removeContainer op = "remove container"
	removeSidecar   op = "remove sidecar"
	unregister      op = "remove registration"
	createSidecar   op = "create sidecar"
	createContainer op = "create container"
	connect         op = "connect sidecar" // to the gateway's network
	stopContainer   op = "stop container"
	stopSidecar     op = "stop sidecar"
	register        op = "register"
	startSidecar    op = "start sidecar"
	startContainer  op = "start container"
)

// step is one step of a plan.
type step struct {
	op    op
	cause string
}

type plan []step

func (p *plan) add(what op, cause string, args ...any) {
	*p = append(*p, step{what, fmt.Sprintf(cause, args...)})
}

func (p plan) has(what op) bool {
	return slices.ContainsFunc(p, func(s step) bool { return s.op == what })
}

// began reports whether the container ever ran. One that did not is left from a
// run that was interrupted.
func (o observed) began() bool { return o.user != nil && !o.user.StartedAt.IsZero() }

// up reports that a container has processes.
func up(c *docker.Container) bool {
	if c == nil {
		return false
	}
	switch c.State {
	case docker.StateRunning, docker.StatePaused, docker.StateRestarting:
		return true
	}
	return false
}

// here reports whether anything of the container is on this engine.
func (o observed) here() bool { return o.user != nil || o.sidecar != nil }

// ofRun reports that a run of a container made the registration. Gateways from
// before kinds do not tell.
func (o observed) ofRun() bool { return o.client.Kind == edgeapi.KindContainer }

// elsewhere reports that the name is in the VPN and not of this engine: what is
// not marked as made by a run is a person's, whether it has joined or not.
func (o observed) elsewhere() bool {
	return o.client != nil && (!o.ofRun() || !o.here() && o.client.Connected)
}

// detached reports that the container has outlived the network it shares.
func (o observed) detached() bool {
	return up(o.user) && (!up(o.sidecar) || o.user.NetworkOf != o.sidecar.ID || o.sidecar.StartedAt.After(o.user.StartedAt))
}

// decideRun makes the plan of a new container. What is there of an interrupted
// run makes place for it.
func decideRun(o observed, services []Served) (plan, error) {
	if err := o.needNetwork(); err != nil {
		return nil, err
	}
	switch {
	case o.began():
		return nil, fault.New(fault.ContainerExists, fault.ExitConflict, "there is a container %s already", o.name).
			Hint("bring it back to life: `openshell container start %s`", o.name).
			Hint("choose another name with --name, or delete it: `openshell container rm %s`", o.name)
	case o.elsewhere():
		return nil, fault.New(fault.ContainerExists, fault.ExitConflict, "gateway %s has a VPN client %s already, which no container of this machine is", o.on, o.name).
			Hint("choose another name with --name, or take it away if nobody needs it: `openshell container rm %s`", o.name)
	}
	for _, s := range services {
		if r := o.takenBy(s.Host); r != nil {
			return nil, fault.New(fault.ServiceTaken, fault.ExitConflict, "the name %s leads to port %d of %s %s already", s.Host, r.Port, r.Kind, r.Owner).
				Hint("give the service another name; see which there are: `openshell container list`")
		}
	}
	var p plan
	const leftover = "an interrupted run left it"
	if o.user != nil {
		p.add(removeContainer, leftover)
	}
	if o.sidecar != nil {
		p.add(removeSidecar, leftover)
	}
	if o.client != nil {
		p.add(unregister, leftover)
	}
	p.add(createSidecar, "it joins the VPN of gateway %s", o.on)
	p.add(createContainer, "it shares the sidecar's network")
	p.add(register, "%s", servicesWord(services))
	p.add(startSidecar, "a new container")
	p.add(startContainer, "a new container")
	return p, nil
}

// takenBy is the route by which a name leads to somebody else.
func (o observed) takenBy(host string) *edgeapi.Route {
	for i, r := range o.routes {
		own := o.client != nil && r.OwnerID == o.client.ID
		if r.Host == host && r.State != edgeapi.RouteConflict && !own {
			return &o.routes[i]
		}
	}
	return nil
}

// decideStart makes the plan that leads a container that was there back to what
// it was: running, with the sidecar's network, and in the VPN.
func decideStart(o observed) (plan, error) {
	if err := o.needNetwork(); err != nil {
		return nil, err
	}
	switch {
	case !o.here():
		return nil, absent(o)
	case !o.began():
		return nil, fault.New(fault.ContainerFailed, fault.ExitFailure, "container %s was never started: its run was interrupted", o.name).
			Hint("run it again, or delete what is left: `openshell container rm %s`", o.name)
	case o.sidecar == nil:
		return nil, fault.New(fault.ContainerFailed, fault.ExitFailure, "container %s cannot get its network back: its sidecar was removed", o.name).
			Hint("delete it, then run it again: `openshell container rm %s`", o.name)
	}
	var p plan
	if up(o.user) && (o.user.State == docker.StatePaused || o.detached()) {
		p.add(stopContainer, "it has lost its network, or is paused")
	}
	joined := o.client != nil && o.client.Connected && o.sidecar.State == docker.StateRunning
	if up(o.sidecar) && !joined {
		if up(o.user) && !p.has(stopContainer) {
			p.add(stopContainer, "its sidecar has to start anew")
		}
		p.add(stopSidecar, "it is not in the VPN")
	}
	if id, on := o.sidecar.NetworkIDs[o.on.Resource()]; !on || id != "" && id != o.network.ID {
		p.add(connect, "the network was made anew")
	}
	if !joined {
		p.add(register, "its package may be of an earlier VPN")
		p.add(startSidecar, "it is not in the VPN")
	}
	if !up(o.user) || p.has(stopContainer) {
		p.add(startContainer, "it is not running, or has lost its network")
	}
	return p, nil
}

// decideRemove makes the plan that leaves nothing of a container.
func decideRemove(o observed) (plan, error) {
	if !o.here() && o.client == nil {
		if o.state && !o.running() {
			return nil, o.needGateway() // it may know the container
		}
		return nil, absent(o)
	}
	if o.state {
		// Its registration would stay.
		if err := o.needGateway(); err != nil {
			return nil, err
		}
	}
	var p plan
	if up(o.user) {
		p.add(stopContainer, "it is to be removed")
	}
	if o.user != nil {
		p.add(removeContainer, "as asked")
	}
	if o.sidecar != nil {
		p.add(removeSidecar, "as asked")
	}
	if o.client != nil {
		p.add(unregister, "as asked")
	}
	return p, nil
}

func absent(o observed) error {
	return fault.New(fault.ContainerAbsent, fault.ExitFailure, "there is no container %s at gateway %s", o.name, o.on).
		Hint("`openshell container list` shows which there are")
}

func servicesWord(services []Served) string {
	if len(services) == 0 {
		return "without services"
	}
	word := ""
	for i, s := range services {
		if i > 0 {
			word += ", "
		}
		word += fmt.Sprintf("%s at port %d", s.Host, s.Port)
	}
	return word
}
