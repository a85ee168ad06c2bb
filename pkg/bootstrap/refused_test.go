package bootstrap

import (
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

// What the host cannot give is refused while the gateway still runs.
func TestFlagsTheHostCannotGiveChangeNothing(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.away = "10.9.9.9"
		r.mustStart(StartOptions{})
		r.engine.ResetCalls()
		for _, opts := range []StartOptions{{CPUs: ptr(64.0)}, {Bind: ptr("10.9.9.9")}, {CPUs: ptr(64.0), Recreate: true}, {Bind: ptr("10.9.9.9"), Recreate: true}} {
			if e := r.mustFail(opts, fault.BadValue); e.Exit != fault.ExitUsage {
				t.Errorf("%+v", e)
			}
		}
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("changed: %v", changes)
		}
		if res := r.mustStart(StartOptions{}); res.Action != "none" {
			t.Errorf("%+v", res)
		}
	})
}

// A setting with which the engine makes or starts no container is not kept.
func TestSettingsThatTheEngineRefusesAreTakenBack(t *testing.T) {
	for _, op := range []string{"CreateContainer", "StartContainer", "RemoveContainer"} {
		for state, lead := range map[string]func(r *rig){"running": func(*rig) {}, "suspended": func(r *rig) { r.engine.Remove(resource) }} {
			t.Run(op+" "+state, func(t *testing.T) {
				inTime(t, func(t *testing.T, r *rig) {
					r.mustStart(StartOptions{})
					before := r.identity()
					lead(r)
					r.engine.Fail(op, 1, docker.NewError(docker.Other, op, resource, "no"))
					if _, err := r.start(StartOptions{Port: ptr(9000), Memory: ptr(int64(1 << 30))}); err == nil && op != "RemoveContainer" {
						t.Fatal("it was not refused")
					} else if err == nil {
						return // nothing was there to remove
					}
					res := r.mustStart(StartOptions{})
					if res.Endpoint != "https://127.0.0.1:8080" || r.settings().Memory != 0 || r.identity() != before {
						t.Errorf("%+v, %+v", res, r.settings())
					}
				})
			})
		}
	}
}
