package usercontainer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

// mishaps lead a running container to another state.
var mishaps = map[string]struct {
	lead  func(r *rig)
	state State
}{
	"nothing":             {func(*rig) {}, Running},
	"the user stopped it": {func(r *rig) { r.engine.Kill(on.UserContainer("web")) }, Stopped},
	"paused":              {func(r *rig) { r.engine.SetState(on.UserContainer("web"), docker.StatePaused) }, Paused},
	"its sidecar restarted": {func(r *rig) {
		r.engine.Advance(time.Second)
		r.engine.Exit(on.Sidecar("web"), 1)
	}, Detached},
	"its sidecar is stopped": {func(r *rig) {
		r.engine.Kill(on.Sidecar("web"))
		r.disconnected()
	}, Detached},
	"the engine started it before its sidecar": {func(r *rig) {
		r.engine.RestartEngine()
		r.engine.SetState(on.UserContainer("web"), docker.StateExited)
	}, Stopped},
	"the VPN has other keys":   {func(r *rig) { r.epoch++; r.disconnected() }, Joining},
	"the registration is gone": {func(r *rig) { r.clients = nil }, Joining},
	"the network was made anew": {func(r *rig) {
		r.engine.Kill(on.UserContainer("web"))
		r.engine.Kill(on.Sidecar("web"))
		r.disconnected()
		r.newNetwork()
	}, Stopped},
	"the sidecar was taken off its network": {func(r *rig) {
		must(r.t, r.engine.DisconnectNetwork(r.t.Context(), on.Resource(), on.Sidecar("web")))
		r.disconnected()
	}, Joining},
}

func (r *rig) newNetwork() {
	ctx := r.t.Context()
	n, err := r.engine.Network(ctx, on.Resource())
	must(r.t, err)
	r.engine.DropNetwork(on.Resource())
	must(r.t, r.engine.CreateNetwork(ctx, on.Resource(), n.Subnets[0], on.Labels("v1")),
		r.engine.DisconnectNetwork(ctx, on.Resource(), on.Resource()), r.engine.ConnectNetwork(ctx, on.Resource(), on.Resource()))
}

func TestStartBringsAContainerBackAfterEveryMishap(t *testing.T) {
	for name, mishap := range mishaps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.mustRun()
				user, _ := r.engine.Inspect(on.UserContainer("web"))
				mishap.lead(r)
				if c := r.get(); c.State != mishap.state {
					t.Errorf("before: %s, want %s", c.State, mishap.state)
				}
				must(t, r.m.Start(t.Context(), on, "web", r))
				if c := r.get(); c.State != Running || len(c.Services) != 2 || !c.Services[1].Live() {
					t.Errorf("after: %+v", c)
				}
				if now, _ := r.engine.Inspect(on.UserContainer("web")); now.ID != user.ID {
					t.Error("the container was made anew: what it had written is lost")
				}
				r.engine.ResetCalls()
				must(t, r.m.Start(t.Context(), on, "web", r))
				if changes := r.engine.Changes(); len(changes) > 0 {
					t.Errorf("a second start changed: %v", changes)
				}
			})
		})
	}
}

// TestAStartThatEndsAnywhereIsMadeGoodByTheNext ends openshell at every call.
func TestAStartThatEndsAnywhereIsMadeGoodByTheNext(t *testing.T) {
	for name, mishap := range mishaps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for n := 1; ; n++ {
					r := newRig(t)
					r.mustRun()
					mishap.lead(r)
					calls := 0
					r.engine.Intercept(func(dockertest.Call) error {
						if calls++; calls > n {
							return errors.New("killed")
						}
						return nil
					})
					ended := r.m.Start(t.Context(), on, "web", r) != nil
					r.engine.Intercept(nil)
					if err := r.m.Start(t.Context(), on, "web", r); err != nil {
						t.Fatalf("after call %d: %v", n, err)
					}
					if c := r.get(); c.State != Running {
						t.Fatalf("after call %d: %s", n, c.State)
					}
					if !ended {
						return
					}
				}
			})
		})
	}
}

func TestAContainerThatIsAboutToJoinIsGivenTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.mustRun()
		r.disconnected()
		go func() {
			time.Sleep(3 * time.Second)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.clients[0].Connected = true
		}()
		r.engine.ResetCalls()
		must(t, r.m.Start(t.Context(), on, "web", r))
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("changed: %v", changes)
		}
	})
}

func TestStartRefusesWhatItCannotBringBack(t *testing.T) {
	for name, tc := range map[string]struct {
		lead func(r *rig)
		id   fault.ID
		exit fault.Exit
	}{
		"no such container":     {func(r *rig) { must(r.t, r.m.Remove(r.t.Context(), on, "web", r)) }, fault.ContainerAbsent, fault.ExitFailure},
		"its sidecar is gone":   {func(r *rig) { r.engine.Remove(on.Sidecar("web")) }, fault.ContainerFailed, fault.ExitFailure},
		"only a sidecar":        {func(r *rig) { r.engine.Remove(on.UserContainer("web")) }, fault.ContainerFailed, fault.ExitFailure},
		"gateway stopped":       {func(r *rig) { r.engine.Kill(on.Resource()) }, fault.NotRunning, fault.ExitNotRunning},
		"gateway's edge is off": {func(r *rig) { r.deaf = true }, fault.EdgeFailed, fault.ExitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.mustRun()
				tc.lead(r)
				r.engine.ResetCalls()
				wantFault(t, r.m.Start(t.Context(), on, "web", r), tc.id, tc.exit)
				if changes := r.engine.Changes(); len(changes) > 0 {
					t.Errorf("changed: %v", changes)
				}
			})
		})
	}
}

func TestRemoveLeavesNothingInEveryState(t *testing.T) {
	for name, mishap := range mishaps {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.mustRun()
			mishap.lead(r)
			must(t, r.m.Remove(t.Context(), on, "web", r))
			if left := r.left(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			wantFault(t, r.m.Remove(t.Context(), on, "web", r), fault.ContainerAbsent, fault.ExitFailure)
		})
	}
}

func TestRemoveNeedsTheGatewayAsLongAsItKnowsTheContainer(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	r.engine.Kill(on.Resource())
	e := wantFault(t, r.m.Remove(t.Context(), on, "web", r), fault.NotRunning, fault.ExitNotRunning)
	if !strings.Contains(fmt.Sprint(e.Hints), "openshell gateway start dev") || len(r.left()) != 3 {
		t.Errorf("%v, left %v", e.Hints, r.left())
	}
	r.engine.Remove(on.Resource())
	must(t, r.engine.RemoveVolume(t.Context(), on.Resource()))
	r.clients = nil // they were on the volume
	must(t, r.m.Remove(t.Context(), on, "web", r))
	if left := r.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestListMergesDockerAndTheGateway(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	opts := options()
	opts.Name, opts.Services = "other", nil
	must(t, r.run(opts))
	r.engine.Kill(on.UserContainer("other"))
	r.clients = append(r.clients, edgeapi.VPNClient{ID: "ff", Name: "laptop", Connected: true})
	_, err := r.engine.CreateContainer(t.Context(), r.m.sidecarSpec(observed{name: "half", on: on, node: &docker.Container{ImageID: "node:v1"}}))
	must(t, err)
	words := func(want ...string) {
		t.Helper()
		list, err := r.m.List(t.Context(), on)
		must(t, err)
		var got []string
		for _, c := range list.Containers {
			got = append(got, c.Name+" "+string(c.State))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v\n%s", list.Problem, diff)
		}
	}
	words("half incomplete", "laptop elsewhere", "other stopped", "web running")
	r.deaf = true
	words("half incomplete", "other stopped", "web offline")
	r.engine.Kill(on.Resource())
	words("half incomplete", "other stopped", "web offline")
	r.engine.Remove(on.Resource())
	words("half incomplete", "other stopped", "web offline")
}

func TestAwait(t *testing.T) {
	for name, tc := range map[string]struct {
		lead func(r *rig)
		id   fault.ID
		exit fault.Exit
	}{
		"joined":            {func(*rig) {}, "", 0},
		"conflict":          {func(r *rig) { r.clients[0].Services = nil }, "", 0},
		"edge comes back":   {func(r *rig) { r.deaf = true; go r.later(func() { r.deaf = false }) }, "", 0},
		"joins late":        {func(r *rig) { r.disconnected(); go r.later(func() { r.clients[0].Connected = true }) }, "", 0},
		"never joins":       {func(r *rig) { r.disconnected() }, fault.Timeout, fault.ExitTimeout},
		"edge stays away":   {func(r *rig) { r.deaf = true }, fault.EdgeFailed, fault.ExitFailure},
		"removed meanwhile": {func(r *rig) { must(r.t, r.m.Remove(r.t.Context(), on, "web", r)) }, fault.ContainerAbsent, fault.ExitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.mustRun()
				tc.lead(r)
				_, err := r.m.Await(t.Context(), on, "web", 20*time.Second)
				if tc.id == "" {
					must(t, err)
				} else {
					wantFault(t, err, tc.id, tc.exit)
				}
			})
		})
	}
}

func (r *rig) later(change func()) {
	time.Sleep(5 * time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func TestAProcessThatEndsIsToldWithItsLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.crash = true
		r.mustRun()
		_, err := r.m.Await(t.Context(), on, "web", 20*time.Second)
		e := wantFault(t, err, fault.ContainerFailed, fault.ExitFailure)
		if !strings.Contains(e.Message, "exit code 3") || e.Cause == nil || e.Cause.Error() != "panic: no database" {
			t.Errorf("%v", e)
		}
	})
}

func TestURLs(t *testing.T) {
	for bind, want := range map[string][2]string{
		"127.0.0.1": {"http://web.localhost:7101/", "http://127.0.0.1:7101/web/"},
		"0.0.0.0":   {"http://web.localhost:7101/", "http://127.0.0.1:7101/web/"},
		"::1":       {"http://web.localhost:7101/", "http://[::1]:7101/web/"},
		"10.0.0.7":  {"http://10.0.0.7:7101/web/", "http://10.0.0.7:7101/web/"},
	} {
		best, path := urls("http", []docker.Port{{Host: 8080, Bind: bind, Container: 30051, Proto: "tcp"}, {Host: 7101, Bind: bind, Container: 7100, Proto: "tcp"}}, "web")
		if diff := cmp.Diff(want, [2]string{best, path}); diff != "" {
			t.Errorf("%s: %s", bind, diff)
		}
	}
	if best, path := urls("http", nil, "web"); best != "" || path != "" {
		t.Errorf("not published: %q, %q", best, path)
	}
}

func TestServicesOfAGatewayWithTLS(t *testing.T) {
	r := newRig(t)
	r.settings(true)
	r.mustRun()
	list, err := r.m.List(t.Context(), on)
	must(t, err, list.Problem)
	for _, c := range []Container{r.get(), list.Containers[0]} {
		if s := c.Services[0]; s.URL != "https://web.localhost:7101/" || s.PathURL != "https://127.0.0.1:7101/web/" {
			t.Errorf("%+v", s)
		}
	}
}

// A URL with the wrong scheme would be worse than none.
func TestWithoutSettingsThereAreNoURLs(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	must(t, r.engine.WriteFile(t.Context(), on.Resource(), nodeapi.SettingsFile, nodeapi.SettingsMode, []byte("{")))
	list, err := r.m.List(t.Context(), on)
	must(t, err)
	if list.Problem == nil || list.Containers[0].Services[0].URL != "" {
		t.Errorf("problem %v, %+v", list.Problem, list.Containers)
	}
}
