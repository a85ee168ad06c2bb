package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Restore implements Gateways: it exchanges the present state for one that was
// set aside earlier, or the data in it for that of a snapshot or of a database.
// What was there is set aside under the name returned. The gateway is stopped
// afterwards.
func (m *Manager) Restore(ctx context.Context, name gateway.Name, what string, sink Sink) (string, error) {
	unlock, err := m.lock(ctx, name, sink)
	if err != nil {
		return "", err
	}
	defer unlock()
	o, have, err := m.lookRestorable(ctx, name)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(have, func(a nodeapi.Aside) bool { return a.Name == what }) {
		return "", asideMissing(name, what, have)
	}
	image, err := m.helperImage(ctx, o)
	if err != nil {
		return "", stepError(ctx, err)
	}
	if err := m.follow(ctx, decideStop(o), sink); err != nil {
		return "", err
	}
	kind := nodeapi.AsidePrefix
	if prefix, _, _ := nodeapi.ParseState(what); prefix == nodeapi.SnapshotPrefix || prefix == nodeapi.DatabasePrefix {
		kind = nodeapi.DatabasePrefix
	}
	present := nodeapi.StateName(kind, time.Now())
	answer, err := m.runHelper(ctx, name, image, nodeapi.Binary, nodeapi.CmdVolume, "restore", what, present)
	if err != nil {
		return "", stepError(ctx, err)
	}
	var did struct {
		Aside string `json:"aside"` // empty: there was no present state
	}
	if err := json.Unmarshal(answer, &did); err != nil {
		return "", stepError(ctx, fmt.Errorf("answer of openshell-node %s: %w", nodeapi.CmdVolume, err))
	}
	return did.Aside, nil
}

// Restorable implements Gateways.
func (m *Manager) Restorable(ctx context.Context, name gateway.Name) ([]nodeapi.Aside, error) {
	unlock, err := m.lock(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	_, have, err := m.lookRestorable(ctx, name)
	return have, err
}

// lookRestorable is what exists, and what can be brought back on its volume,
// which has to be there. The caller holds the lock.
func (m *Manager) lookRestorable(ctx context.Context, name gateway.Name) (Observed, []nodeapi.Aside, error) {
	o, err := m.glance(ctx, name)
	if err != nil {
		return o, nil, observeError(ctx, err)
	}
	switch {
	case len(o.foreign()) > 0:
		return o, nil, foreignError(o)
	case o.Volume == nil:
		return o, nil, notFound(name)
	}
	have, err := m.restorable(ctx, o)
	if err != nil {
		return o, nil, stepError(ctx, err)
	}
	return o, have, nil
}

func asideMissing(name gateway.Name, what string, have []nodeapi.Aside) error {
	e := fault.New(fault.AsideMissing, fault.ExitFailure, "gateway %s has nothing to bring back that is called %q", name, what)
	if len(have) == 0 {
		return e.Hint("no state was set aside, and there is no snapshot")
	}
	names := make([]string, 0, len(have))
	for _, a := range have {
		names = append(names, a.Name)
	}
	return e.Hint("there are: %s", strings.Join(names, ", "))
}
