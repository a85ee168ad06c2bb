package server

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/translate"
)

// byName finds a sandbox.
func (a *api) byName(ctx context.Context, c client.Client, name string) (*v1.Sandbox, error) {
	if err := translate.CheckName(name); err != nil {
		return nil, err
	}
	var s v1.Sandbox
	err := c.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: name}, &s)
	if absent(err) {
		return nil, notFound("sandbox %s does not exist", name)
	}
	return a.backend.present(&s), err
}

// byID finds a sandbox by its id, which stands in that field of the request.
func (a *api) byID(ctx context.Context, field, id string) (*v1.Sandbox, error) {
	if err := translate.CheckID(field, id); err != nil {
		return nil, err
	}
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	var list v1.SandboxList
	if err := c.List(ctx, &list, client.InNamespace(a.namespace), client.MatchingLabels{sandboxapi.LabelID: id}); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Spec.ID == id {
			return a.backend.present(&list.Items[i]), nil
		}
	}
	return nil, notFound("there is no sandbox with the id %s", id)
}

// ready finds a sandbox that can be connected to. One that is about to be is
// not waited for.
func (a *api) ready(ctx context.Context, field, id string) (*v1.Sandbox, error) {
	s, err := a.byID(ctx, field, id)
	if err != nil {
		return nil, err
	}
	if s.DeletionTimestamp != nil {
		return nil, notNow("sandbox %s is being deleted", s.Name)
	}
	if s.Spec.Stopped {
		return nil, notNow("sandbox %s is stopped; start it first", s.Name)
	}
	if s.Status.Phase != v1.PhaseReady {
		return nil, notReady(s)
	}
	return s, nil
}

func notReady(s *v1.Sandbox) error {
	if why := translate.WhyNotReady(s); why != "" {
		return notNow("sandbox %s is not ready: %s", s.Name, why)
	}
	return notNow("sandbox %s is not ready", s.Name)
}

// connect speaks to the supervisor of a sandbox.
func (a *api) connect(ctx context.Context, s *v1.Sandbox) (Agent, error) {
	leave, err := a.connected.enter(s.Spec.ID)
	if err != nil {
		return nil, err
	}
	agent, err := a.dial(ctx, s)
	if err != nil {
		leave()
		return nil, err
	}
	return counted{agent, leave}, nil
}

func (a *api) dial(ctx context.Context, s *v1.Sandbox) (Agent, error) {
	c, err := a.backend.get(ctx)
	if err != nil {
		return nil, err
	}
	agent, err := c.Connect(ctx, s.Spec.ID)
	switch {
	case err == nil:
		return agent, nil
	case errors.Is(err, sandbox.ErrGone):
		return nil, notFound("sandbox %s does not exist any more", s.Name)
	case errors.Is(err, sandbox.ErrNotReady):
		return nil, notReady(s)
	case errors.Is(err, context.Canceled), errors.Is(err, sandbox.ErrUnknown):
		return nil, err
	}
	a.log.Warn("supervisor cannot be reached", "sandbox", s.Name, "error", err)
	return nil, aborted("sandbox %s cannot be reached; try again in a moment", s.Name)
}
