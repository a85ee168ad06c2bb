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

// Restore implements Gateways: it exchanges the present state, which is set
// aside under the name returned, for one that was set aside earlier. The
// gateway is stopped afterwards.
func (m *Manager) Restore(ctx context.Context, name gateway.Name, aside string, sink Sink) (string, error) {
	unlock, err := m.lock(ctx, name, sink)
	if err != nil {
		return "", err
	}
	defer unlock()
	o, err := m.glance(ctx, name)
	if err != nil {
		return "", observeError(ctx, err)
	}
	switch {
	case len(o.foreign()) > 0:
		return "", foreignError(o)
	case o.Volume == nil:
		return "", notFound(name)
	}
	have, err := m.asides(ctx, o)
	if err != nil {
		return "", stepError(ctx, err)
	}
	if !slices.ContainsFunc(have, func(a nodeapi.Aside) bool { return a.Name == aside }) {
		return "", asideMissing(name, aside, have)
	}
	if err := m.follow(ctx, decideStop(o), sink); err != nil {
		return "", err
	}
	image, err := m.helperImage(ctx, o)
	if err != nil {
		return "", stepError(ctx, err)
	}
	present := asideName(time.Now())
	answer, err := m.runHelper(ctx, name, image, nodeapi.Binary, nodeapi.CmdVolume, "restore", aside, present)
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

// asideName names a state that is set aside at a moment.
func asideName(at time.Time) string { return nodeapi.AsidePrefix + at.UTC().Format("20060102T150405Z") }

func asideMissing(name gateway.Name, aside string, have []nodeapi.Aside) error {
	e := fault.New(fault.AsideMissing, fault.ExitFailure, "gateway %s has no state set aside as %q", name, aside)
	if len(have) == 0 {
		return e.Hint("no state was set aside")
	}
	names := make([]string, 0, len(have))
	for _, a := range have {
		names = append(names, a.Name)
	}
	return e.Hint("there are: %s", strings.Join(names, ", "))
}
