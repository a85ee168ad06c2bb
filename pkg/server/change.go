package server

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/server/translate"
)

// DeleteSandbox begins to delete a sandbox with all it has, and does not wait
// for the end. Of one that is being deleted already the answer is the same; one
// that does not exist is NOT_FOUND.
func (a *api) DeleteSandbox(ctx context.Context, request *openshellv1.DeleteSandboxRequest) (*openshellv1.DeleteSandboxResponse, error) {
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.byName(ctx, c, request.GetName())
	if err != nil {
		return nil, err
	}
	err = c.Delete(ctx, s, client.Preconditions{UID: &s.UID})
	if absent(err) {
		return nil, notFound("sandbox %s does not exist", s.Name)
	}
	if err != nil {
		return nil, err
	}
	a.tunnels.EndSandbox(s.Spec.ID)
	a.log.Info("sandbox deleted", "sandbox", s.Name, "id", s.Spec.ID)
	return &openshellv1.DeleteSandboxResponse{Deleted: true}, nil
}

// StopSandbox begins to end a sandbox's processes. It stays stopped until it is
// started, whatever happens to the gateway.
func (a *api) StopSandbox(ctx context.Context, request *openshellv1.StopSandboxRequest) (*openshellv1.SandboxResponse, error) {
	return a.setStopped(ctx, request.GetName(), true)
}

// StartSandbox begins to start a sandbox that was stopped.
func (a *api) StartSandbox(ctx context.Context, request *openshellv1.StartSandboxRequest) (*openshellv1.SandboxResponse, error) {
	return a.setStopped(ctx, request.GetName(), false)
}

func (a *api) setStopped(ctx context.Context, name string, stopped bool) (*openshellv1.SandboxResponse, error) {
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.byName(ctx, c, name)
	if err != nil {
		return nil, err
	}
	if s.DeletionTimestamp != nil {
		return nil, notNow("sandbox %s is being deleted", name)
	}
	if s.Spec.Stopped != stopped {
		change := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"stopped":%t}}`, stopped))
		err := c.Patch(ctx, s, change)
		if absent(err) {
			return nil, notFound("sandbox %s does not exist", name)
		}
		if err != nil {
			return nil, err
		}
		a.log.Info("sandbox changed", "sandbox", name, "id", s.Spec.ID, "stopped", stopped)
	}
	return &openshellv1.SandboxResponse{Sandbox: translate.Sandbox(s)}, nil
}
