package bootstrap

import (
	"context"
	"time"

	"openshell.ai/openshell/pkg/bootstrap/doctor"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Check examines the engine, this host and, if it exists, one gateway.
func (m *Manager) Check(ctx context.Context, name gateway.Name) ([]nodeapi.Check, error) {
	info, err := m.Engine.Info(ctx)
	if err != nil {
		return nil, observeError(ctx, err)
	}
	checks := append(doctor.Engine(info, time.Now()), doctor.Host(doctor.Local())...)
	s, err := m.Status(ctx, name)
	if err != nil {
		return nil, err
	}
	if s.Word == Absent {
		return checks, nil
	}
	state := nodeapi.Check{ID: "gateway", OK: s.Word == Running}
	if !state.OK {
		state.Message = "gateway " + string(name) + " is " + string(s.Word)
		if len(s.Remediation) > 0 {
			state.Message += ": `" + s.Remediation[0] + "`"
		}
	}
	return append(append(checks, state), s.Checks...), nil
}

// preflight refuses an engine on which a fresh start cannot succeed. The rest
// of what doctor knows may well be lived with.
func preflight(checks []nodeapi.Check) error {
	for _, c := range checks {
		if !c.OK && (c.ID == "engine-os" || c.ID == "engine-rootless") {
			return fault.New(fault.HostUnfit, fault.ExitFailure, "this Docker Engine cannot run a gateway: %s", c.Message).
				Hint("see all checks: `openshell doctor check`")
		}
	}
	return nil
}
