package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/server/petname"
	"openshell.ai/openshell/pkg/server/translate"
)

const (
	petNames   = 20 // tries for a name that is free
	endPause   = 100 * time.Millisecond
	endTimeout = 10 * time.Second // for a sandbox of the same name that is being deleted
)

// CreateSandbox makes a sandbox, or nothing. It answers before the sandbox is
// ready. Its environment is kept in the sandbox's Secret alone.
func (a *api) CreateSandbox(ctx context.Context, request *openshellv1.CreateSandboxRequest) (*openshellv1.SandboxResponse, error) {
	n, err := translate.NewSandbox(request, a.image)
	if err != nil {
		return nil, err
	}
	n.Namespace = a.namespace
	c, err := a.backend.client(ctx)
	if err != nil {
		return nil, err
	}
	create := createNamed
	if n.Name == "" {
		create = createUnnamed
	}
	s, err := create(ctx, c, n)
	if err != nil {
		return nil, err
	}
	a.log.Info("sandbox created", "sandbox", s.Name, "id", s.Spec.ID, "image", s.Spec.Image)
	return &openshellv1.SandboxResponse{Sandbox: withEnvironment(translate.Sandbox(s), n.Environment)}, nil
}

// createNamed waits for a sandbox of that name that is being deleted.
func createNamed(ctx context.Context, c client.Client, n sandbox.NewSandbox) (*v1.Sandbox, error) {
	ending, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for {
		s, err := sandbox.Create(ctx, c, n)
		if !apierrors.IsAlreadyExists(err) {
			return s, err
		}
		var old v1.Sandbox
		readErr := c.Get(ctx, client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, &old)
		switch {
		case absent(readErr): // it ended in between
		case readErr != nil:
			return nil, readErr
		case old.DeletionTimestamp == nil:
			return nil, status.Errorf(codes.AlreadyExists, "sandbox %s exists already", n.Name)
		}
		if !sleep(ending, endPause) {
			return nil, status.Errorf(codes.AlreadyExists, "sandbox %s exists and is still being deleted; try again in a moment", n.Name)
		}
	}
}

// createUnnamed draws names until one is free.
func createUnnamed(ctx context.Context, c client.Client, n sandbox.NewSandbox) (*v1.Sandbox, error) {
	for try := range petNames {
		n.Name = petname.Draw()
		if try > petNames/2 {
			n.Name = fmt.Sprintf("%s-%d", n.Name, try)
		}
		s, err := sandbox.Create(ctx, c, n)
		if !apierrors.IsAlreadyExists(err) {
			return s, err
		}
	}
	return nil, errors.New("no name that was drawn is free")
}

func withEnvironment(s *datamodelv1.Sandbox, environment map[string]string) *datamodelv1.Sandbox {
	s.Spec.Environment = environment
	return s
}
