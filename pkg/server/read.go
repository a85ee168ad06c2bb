package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/translate"
)

// Sizes of a page of ListSandboxes.
const (
	defaultPage = 100
	maxPage     = 1000
)

// GetSandbox answers a sandbox with its environment. No other method tells it
// of a sandbox that exists.
func (a *api) GetSandbox(ctx context.Context, request *openshellv1.GetSandboxRequest) (*openshellv1.SandboxResponse, error) {
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.byName(ctx, c, request.GetName())
	if err != nil {
		return nil, err
	}
	environment, err := environmentOf(ctx, c, s)
	if err != nil {
		return nil, err
	}
	return &openshellv1.SandboxResponse{Sandbox: withEnvironment(translate.Sandbox(s), environment)}, nil
}

// environmentOf reads it from the sandbox's Secret. A sandbox that is going, or
// was made by hand and is not complete, may have none.
func environmentOf(ctx context.Context, c client.Client, s *v1.Sandbox) (map[string]string, error) {
	var secret corev1.Secret
	err := c.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.ID}, &secret)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, ok := secret.Data[sandboxapi.SecretEnviron]
	if !ok {
		return nil, nil
	}
	var environment map[string]string
	if json.Unmarshal(raw, &environment) != nil {
		// Not with the cause, which may quote a value.
		return nil, fmt.Errorf("environment of sandbox %s is not a JSON object of strings", s.Name)
	}
	return environment, nil
}

// ListSandboxes answers a page in the order of names: 100 by default, and never
// more than 1000.
func (a *api) ListSandboxes(ctx context.Context, request *openshellv1.ListSandboxesRequest) (*openshellv1.ListSandboxesResponse, error) {
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	var list v1.SandboxList
	if err := c.List(ctx, &list, client.InNamespace(a.namespace)); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b v1.Sandbox) int { return strings.Compare(a.Name, b.Name) })
	response := &openshellv1.ListSandboxesResponse{}
	for _, s := range page(list.Items, request.GetOffset(), request.GetLimit()) {
		response.Sandboxes = append(response.Sandboxes, translate.Sandbox(a.backend.present(&s)))
	}
	return response, nil
}

func page[T any](all []T, offset, limit uint32) []T {
	if limit == 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	from := min(uint64(offset), uint64(len(all)))
	return all[from:min(from+uint64(limit), uint64(len(all)))]
}
