package bootstrap

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

func TestFreshStartThenRunning(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		first := r.mustStart(StartOptions{})
		if first.Action != "fresh" || first.Was != Absent || first.Endpoint != "https://127.0.0.1:8080" || first.HTTPPort != 7100 {
			t.Errorf("first start: %+v", first)
		}
		if active, err := r.host.Active(); err != nil || active != testName {
			t.Errorf("selected: %q, %v", active, err)
		}
		r.engine.ResetCalls()
		second := r.mustStart(StartOptions{})
		if second.Action != "none" || second.Was != Running || len(second.Changed) > 0 {
			t.Errorf("second start: %+v", second)
		}
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("a start on a running gateway changed something: %v", changes)
		}
		if n := len(r.engine.Calls()); n > 6 {
			t.Errorf("a start on a running gateway made %d calls: %v", n, r.engine.Calls())
		}
	})
}

// After each of these, a plain start leads back to the same gateway.
func TestResume(t *testing.T) {
	mishaps := map[string]func(r *rig){
		"stopped":                            func(r *rig) { r.stop() },
		"killed":                             func(r *rig) { r.engine.Kill(resource) },
		"pitfall 1: killed, network removed": func(r *rig) { r.engine.Kill(resource); r.engine.DropNetwork(resource) },
		"pitfall 1: removed with network":    func(r *rig) { r.engine.Remove(resource); r.engine.DropNetwork(resource) },
		"pitfall 3: container removed":       func(r *rig) { r.engine.Remove(resource) },
		"pitfall 9: engine restarted":        func(r *rig) { r.engine.RestartEngine() },
		"pitfall 11: tag gone, kept":         func(r *rig) { r.stop(); r.engine.RemoveImage(rigImage) },
		"pitfall 11: tag gone, removed":      func(r *rig) { r.engine.Remove(resource); r.engine.RemoveImage(rigImage) },
		"pitfall 14: host files deleted":     func(r *rig) { r.dropHostFiles() },
		"everything but the volume":          func(r *rig) { r.engine.Remove(resource); r.engine.DropNetwork(resource); r.dropHostFiles() },
		"paused":                             func(r *rig) { r.engine.SetState(resource, docker.StatePaused) },
		"restart policy changed":             func(r *rig) { r.engine.Edit(resource, func(c *docker.Container) { c.RestartPolicy = "no" }) },
		"dead":                               func(r *rig) { r.engine.SetState(resource, docker.StateDead) },
	}
	for name, mishap := range mishaps {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{Port: ptr(9000)})
				before := r.identity()
				mishap(r)
				res := r.mustStart(StartOptions{})
				if res.Endpoint != "https://127.0.0.1:9000" {
					t.Errorf("endpoint: %s", res.Endpoint)
				}
				if after := r.identity(); after != before {
					t.Errorf("identity: %q, before %q", after, before)
				}
				c, _ := r.container()
				if c.Hostname != testName.Hostname() || c.RestartPolicy != "unless-stopped" {
					t.Errorf("container: hostname %s, restart policy %s", c.Hostname, c.RestartPolicy)
				}
				if pulls := slices.ContainsFunc(r.engine.Calls(), func(c dockertest.Call) bool { return c.Op == "PullImage" }); pulls {
					t.Error("an image was pulled")
				}
				if _, ok := r.engine.Inspect(helperName(testName)); ok {
					t.Error("a helper container was left")
				}
			})
		})
	}
}

func (r *rig) stop() {
	r.t.Helper()
	if _, err := r.m.Stop(r.t.Context(), testName, r); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) dropHostFiles() {
	if err := r.host.Remove(testName); err != nil {
		r.t.Fatal(err)
	}
}

func TestFlagMakesContainerAnewInEveryState(t *testing.T) {
	for name, before := range map[string]func(r *rig){
		"running":   func(*rig) {},
		"stopped":   func(r *rig) { r.stop() },
		"suspended": func(r *rig) { r.engine.Remove(resource) },
		"paused":    func(r *rig) { r.engine.SetState(resource, docker.StatePaused) },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				identity := r.identity()
				before(r)
				res := r.mustStart(StartOptions{Port: ptr(9000), Memory: ptr(int64(2 << 30))})
				c, _ := r.container()
				if res.Endpoint != "https://127.0.0.1:9000" || c.Memory != 2<<30 || r.identity() != identity {
					t.Errorf("result %+v, memory %d, identity %q", res, c.Memory, r.identity())
				}
				// What was given once is kept.
				r.engine.Remove(resource)
				if res := r.mustStart(StartOptions{}); res.Endpoint != "https://127.0.0.1:9000" {
					t.Errorf("afterwards: %+v", res)
				}
			})
		})
	}
}

func TestPitfall02SubnetTakenWhileSuspended(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.settings().Network
		r.engine.Remove(resource)
		r.engine.DropNetwork(resource)
		r.routes = []HostRange{{before.Subnet, "tun0"}}
		r.mustStart(StartOptions{})
		after := r.settings().Network
		if after.Subnet == before.Subnet || after.PodCIDR != before.PodCIDR || after.ServiceCIDR != before.ServiceCIDR {
			t.Errorf("network %+v, before %+v", after, before)
		}
		if !r.said("tun0") {
			t.Errorf("nothing was said: %+v", r.events)
		}
	})
}

func TestPitfall02SubnetThatOnlyTheEngineKnowsToBeTaken(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.engine.Fail("CreateNetwork", 1, docker.NewError(docker.SubnetTaken, "create network", resource, "Pool overlaps with other one on this address space"))
		r.mustStart(StartOptions{})
	})
}

func (r *rig) settings() gateway.Settings {
	r.t.Helper()
	s, err := gateway.DecodeSettings(r.engine.VolumeFiles(resource)["current/gateway.json"].Data)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) said(word string) bool {
	return slices.ContainsFunc(r.events, func(e Event) bool { return strings.Contains(e.Message, word) })
}

func TestPitfall08PortHeld(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.held[8080] = "process nginx (812)"
		e := r.mustFail(StartOptions{}, fault.PortInUse)
		if e.Exit != fault.ExitConflict || !strings.Contains(e.Message, "nginx (812)") {
			t.Errorf("%+v", e)
		}
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestPitfall08PortHeldByContainer(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		id, err := r.engine.CreateContainer(t.Context(), docker.ContainerSpec{Name: "web", Image: rigImage, Entrypoint: nil,
			Ports: []docker.Port{{Host: 8080, Bind: "127.0.0.1", Container: 80, Proto: "tcp"}}})
		if err != nil {
			t.Fatal(err)
		}
		r.engine.SetState(id, docker.StateRunning)
		r.held[8080] = "process docker-proxy (99)"
		if e := r.mustFail(StartOptions{}, fault.PortInUse); !strings.Contains(e.Message, "container web") {
			t.Errorf("%+v", e)
		}
		// Found only by the engine, when its proxy does not listen.
		delete(r.held, 8080)
		if e := r.mustFail(StartOptions{}, fault.PortInUse); !strings.Contains(e.Message, "container web") || e.Exit != fault.ExitConflict {
			t.Errorf("%+v", e)
		}
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestPitfall08OurOwnPortIsNoConflict(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.held[8080], r.held[7100] = "process docker-proxy (99)", "process docker-proxy (98)"
		r.mustStart(StartOptions{VPNPort: ptr(49101)})
		r.mustStart(StartOptions{Recreate: true})
	})
}

func TestPitfall10UnreachableIsNotAbsent(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.ResetCalls()
		for _, op := range []string{"Container", "Volume", "Network", "ReadFile"} {
			r.engine.Fail(op, 1, docker.NewError(docker.Unreachable, op, "", "connection refused"))
			if e := r.mustFail(StartOptions{}, fault.DockerUnreachable); e.Exit != fault.ExitUnreachable {
				t.Errorf("%s: %+v", op, e)
			}
			r.engine.Fail(op, 1, docker.NewError(docker.Other, op, "", "internal server error"))
			if e := r.mustFail(StartOptions{}, fault.DockerFailed); e.Exit != fault.ExitUnreachable {
				t.Errorf("%s: %+v", op, e)
			}
		}
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("changed: %v", changes)
		}
		if _, err := r.host.Bundle(testName); err != nil {
			t.Error(err)
		}
	})
}

func TestPitfall20RunningIsAskedOfTheEndpoint(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.sick = &fault.Error{Message: "503"}
		s, err := r.m.Status(t.Context(), testName)
		if err != nil || s.Healthy || s.Word != DegradedWord {
			t.Errorf("status: %+v, %v", s, err)
		}
		e := r.mustFail(StartOptions{IdleTimeout: 1e9}, fault.IdleTimeout)
		if e.Exit != fault.ExitTimeout {
			t.Errorf("%+v", e)
		}
		if c, _ := r.container(); c.State != docker.StateRunning {
			t.Errorf("container is %s", c.State)
		}
	})
}

func TestRecreateMakesANewIdentity(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{Port: ptr(9000)})
		before := r.identity()
		res := r.mustStart(StartOptions{Recreate: true})
		if r.identity() == before || res.Action != "recreate" || res.Endpoint != "https://127.0.0.1:8080" {
			t.Errorf("identity %q, before %q; %+v", r.identity(), before, res)
		}
	})
}

func TestDryRunTouchesNothing(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		res, err := r.start(StartOptions{DryRun: true})
		if err != nil || res.Action != "fresh" || len(res.Plan) == 0 {
			t.Errorf("%+v, %v", res, err)
		}
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("changed: %v", changes)
		}
	})
}

func TestPitfall27DamagedSettingsAreNeverReplaced(t *testing.T) {
	for name, damage := range map[string]func(r *rig){
		"missing": func(r *rig) { r.engine.PutVolumeFile(resource, "current/gateway.json", 0, nil) },
		"torn":    func(r *rig) { r.engine.PutVolumeFile(resource, "current/gateway.json", 0o600, []byte(`{"version":`)) },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				before := r.identity()
				r.engine.Remove(resource)
				damage(r)
				if e := r.mustFail(StartOptions{}, fault.StateDamaged); e.Exit != fault.ExitDecision {
					t.Errorf("%+v", e)
				}
				if r.identity() != before {
					t.Error("the state is gone")
				}
			})
		})
	}
}

func TestAsidesOutliveAFirstBoot(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.stop()
		const aside = nodeapi.AsidePrefix + "20260101T000000Z"
		r.beginBeside(aside)
		r.mustStart(StartOptions{})
		if _, ok := r.engine.VolumeFiles(resource)[aside+"/etcd/ca"]; !ok {
			t.Error("the state set aside is gone")
		}
	})
}

// beginBeside sets the present state aside and leaves what a first boot leaves
// that ended right after its settings were written.
func (r *rig) beginBeside(aside string) {
	s := r.settings()
	s.Initialized = nil
	r.engine.MoveVolumeDir(resource, "current", aside)
	r.engine.PutVolumeFile(resource, "current/gateway.json", 0o600, s.Encode())
}

func TestPitfall25NewerSettingsAskForAnUpdate(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		newer := bytes.Replace(r.settings().Encode(), []byte(`"version": 1`), []byte(`"version": 2`), 1)
		r.engine.PutVolumeFile(resource, "current/gateway.json", 0o600, newer)
		s, err := r.m.Status(t.Context(), testName)
		if err != nil || s.Word != Running || len(s.Remediation) > 0 {
			t.Errorf("%+v, %v", s, err)
		}
		r.stop()
		e := r.mustFail(StartOptions{}, fault.StateNewer)
		if e.Exit != fault.ExitDecision || len(e.Hints) != 1 || strings.Contains(e.Hints[0], "recreate") {
			t.Errorf("%+v", e)
		}
	})
}

// A volume with states set aside alone is no new volume: a restore may have
// been cut short there.
func TestPitfall27AsidesAloneAreNoFreshStart(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.identity()
		r.stop()
		const aside = nodeapi.AsidePrefix + "20260101T000000Z"
		r.engine.MoveVolumeDir(resource, "current", aside)
		e := r.mustFail(StartOptions{}, fault.StateLost)
		command := "openshell gateway restore " + aside + " --name dev"
		if e.Exit != fault.ExitDecision || len(e.Hints) != 1 || !strings.Contains(e.Hints[0], "`"+command+"`") {
			t.Errorf("%+v", e)
		}
		if s, err := r.m.Status(t.Context(), testName); err != nil || !slices.Equal(s.Remediation, []string{command}) {
			t.Errorf("%+v, %v", s, err)
		}
		if _, err := r.m.Restore(t.Context(), testName, aside, r); err != nil {
			t.Fatal(err)
		}
		r.mustStart(StartOptions{})
		if r.identity() != before {
			t.Errorf("identity %q, before %q", r.identity(), before)
		}
	})
}

func TestPitfall08ChosenPortTakenMeanwhile(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.engine.OccupyPort(7100, "tcp", true) // seen by nobody until the engine binds it
		res := r.mustStart(StartOptions{})
		if res.HTTPPort != 7101 || !r.said("port 7100 was taken meanwhile") {
			t.Errorf("%+v, %+v", res, r.events)
		}
		if e := r.mustFail(StartOptions{HTTPPort: ptr(7100)}, fault.PortInUse); e.Exit != fault.ExitConflict {
			t.Errorf("%+v", e)
		}
	})
}
