package usercontainer

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

const (
	stopTimeout = 10 * time.Second // as docker stop
	cleanupTime = time.Minute
)

// work is one execution of a plan.
type work struct {
	*Manager
	o    observed
	opts Options
	out  Progress

	sidecar string // id
	issued  string // id of the registration that this work has a package of
	made    bool   // this work created something; what it was may be taken away by the name
}

func (m *Manager) newWork(o observed, opts Options, out Progress) *work {
	w := &work{Manager: m, o: o, opts: opts, out: out}
	if o.sidecar != nil {
		w.sidecar = o.sidecar.ID
	}
	return w
}

// follow runs the steps. It makes no decisions.
func (w *work) follow(ctx context.Context, p plan) error {
	for _, s := range p {
		end := w.out.Step(string(s.op), s.cause)
		err := w.do(ctx, s.op)
		end(err == nil)
		if err != nil {
			return asFault(ctx, err)
		}
	}
	return nil
}

// do is the step's action. Every action may be repeated.
func (w *work) do(ctx context.Context, what op) error {
	user, sidecar := w.o.on.UserContainer(w.o.name), w.o.on.Sidecar(w.o.name)
	switch what {
	case removeContainer:
		return gone(w.Engine.PurgeContainer(ctx, user))
	case removeSidecar:
		return gone(w.Engine.PurgeContainer(ctx, sidecar))
	case unregister:
		err := w.unregister(ctx, w.o.node.ID, w.o.client.ID)
		if err == nil {
			w.o.client = nil
		}
		return err
	case createSidecar:
		return w.createSidecar(ctx)
	case createContainer:
		_, err := w.Engine.CreateContainer(ctx, w.userSpec(w.o, w.opts, w.sidecar))
		return unusable(w.o.name, err)
	case connect:
		if err := w.Engine.DisconnectNetwork(ctx, w.o.on.Resource(), sidecar); err != nil {
			return err
		}
		return w.Engine.ConnectNetwork(ctx, w.o.on.Resource(), sidecar)
	case stopContainer:
		return gone(w.Engine.StopContainer(ctx, user, stopTimeout))
	case stopSidecar:
		return w.Engine.StopContainer(ctx, sidecar, stopTimeout)
	case register:
		return w.register(ctx)
	case startSidecar:
		if err := w.Engine.WriteFile(ctx, sidecar, rulesFile, rulesMode, firewall(w.o.network.Subnets)); err != nil {
			return err
		}
		return w.Engine.StartContainer(ctx, sidecar)
	case startContainer:
		return unusable(w.o.name, w.Engine.StartContainer(ctx, user))
	}
	return fault.New(fault.Internal, fault.ExitFailure, "step %q is not known", what)
}

func (w *work) createSidecar(ctx context.Context) (err error) {
	w.sidecar, err = w.Engine.CreateContainer(ctx, w.sidecarSpec(w.o))
	// Another's is not ours to take away; a call that got no answer may have had
	// its effect.
	w.made = !docker.IsConflict(err)
	return err
}

// register gives the sidecar its package: a file that only it can read, and not
// a part of what Docker tells of it.
func (w *work) register(ctx context.Context) error {
	data, err := w.issue(ctx, w.o, w.opts.Services)
	if err != nil {
		return err
	}
	var p struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(data, &p) == nil {
		w.issued = p.ID
	}
	return w.Engine.WriteFile(ctx, w.o.on.Sidecar(w.o.name), packageFile, packageMode, data)
}

// undo takes away what a run that failed has made, whatever ended it.
func (w *work) undo(ctx context.Context) {
	if !w.made {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	end := w.out.Step("clean up", "it was not finished")
	o, err := w.observe(ctx, w.o.on, w.o.name)
	if err == nil {
		if o.client != nil && !o.ofRun() && o.client.ID != w.issued {
			o.client = nil // a person registered the name meanwhile
		}
		var p plan
		if p, err = decideRemove(o); err == nil {
			w.o = o
			for _, s := range p {
				err = errors.Join(err, w.do(ctx, s.op))
			}
		}
	}
	end(err == nil)
	if err != nil && !fault.HasID(err, fault.ContainerAbsent) {
		w.out.Warn("something is left of container " + w.o.name + ", and goes with the next run or `openshell container rm` of that name: " + err.Error())
	}
}

// gone takes "not found" for done.
func gone(err error) error {
	if docker.IsNotFound(err) {
		return nil
	}
	return err
}

// unusable explains what the engine says of a container that it cannot make or
// start: it is the image or the command that the user named.
func unusable(name string, err error) error {
	var d *docker.Error
	if !isDocker(err, &d) || d.Kind != docker.Other && d.Kind != docker.NotFound {
		return err
	}
	return fault.New(fault.ContainerFailed, fault.ExitFailure, "container %s cannot be started", name).
		Hint("does its image have the command, and a shell or program to run it?").Because(err)
}
