package app

import (
	"errors"
	"net/http"

	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/project"
	"openshell.ai/openshell/pkg/edge/push"
)

// Starts tells whether an allocation is the control plane's.
type Starts interface {
	Verify(token string, wanted project.Config) error
}

// keyFile verifies with a key that is read for each start.
type keyFile string

func (path keyFile) Verify(token string, wanted project.Config) error {
	key, err := push.ReadSecret(string(path))
	if err != nil {
		return err
	}
	return lifecycle.Key(key).Verify(token, wanted)
}

// start allocates the gateway.
func (a *App) start(r *http.Request) (any, error) {
	if a.config.standAlone() {
		return nil, refused(http.StatusConflict, "%v", lifecycle.ErrStandAlone)
	}
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	var wanted project.Config
	if err := readBody(r, &wanted); err != nil {
		return nil, err
	}
	if wanted.Organization == "" || wanted.Version < 0 {
		return nil, refused(http.StatusBadRequest, "organization_id is %.100q and version %d, want a name and at least 0", wanted.Organization, wanted.Version)
	}
	switch err := a.starts.Verify(token, wanted); {
	case errors.Is(err, lifecycle.ErrUnauthorized):
		return nil, refused(http.StatusUnauthorized, "%v", err)
	case err != nil:
		return nil, err
	}
	switch err := a.machine.Allocate(wanted); {
	case errors.Is(err, lifecycle.ErrOther), errors.Is(err, lifecycle.ErrAllocated):
		return nil, refused(http.StatusConflict, "%v", err)
	case err != nil:
		return nil, err
	}
	a.log.Info("allocated", "organization", wanted.Organization, "epoch", wanted.Epoch)
	return a.ping(r)
}
