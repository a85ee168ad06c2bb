package usercontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

func TestRunLeadsToServices(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	c := r.get()
	user, _ := r.engine.Inspect(on.UserContainer("web"))
	at := user.CreatedAt
	want := Container{
		Name: "web", Gateway: on, State: Running, Image: "registry.example/team/web:v2", Address: "172.16.1.1", Connected: true,
		Docker: "openshell-container-dev.web", Sidecar: "openshell-sidecar-dev.web", CreatedAt: &at,
		Services: []Service{
			{Name: "web", Port: 8080, State: "live", URL: "http://web.localhost:7101/", PathURL: "http://127.0.0.1:7101/web/"},
			{Name: "api", Port: 9000, State: "live", URL: "http://api.localhost:7101/", PathURL: "http://127.0.0.1:7101/api/"},
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestTheUsersContainerIsPlainAndTheSidecarHasATunnelAndNoMore(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	user, sidecar := r.engine.Spec(on.UserContainer("web")), r.engine.Spec(on.Sidecar("web"))
	if user.CapAdd != nil || user.Devices != nil || user.SecurityOpt != nil || user.Volumes != nil || user.Ports != nil {
		t.Errorf("the user's container has more than it needs: %+v", user)
	}
	if !slices.Equal(user.Cmd, []string{"serve"}) || !slices.Equal(user.Env, []string{"MODE=test"}) || user.RestartPolicy != "unless-stopped" {
		t.Errorf("the user's container: %+v", user)
	}
	if user.Labels["openshell.ai/gateway"] != "dev" {
		t.Errorf("a label of the image hides whose the container is: %v", user.Labels)
	}
	if !slices.Equal(sidecar.CapDrop, []string{"ALL"}) || !slices.Equal(sidecar.CapAdd, []string{"NET_ADMIN"}) ||
		!slices.Equal(sidecar.Devices, []string{"/dev/net/tun"}) || sidecar.Ports != nil || sidecar.Volumes != nil ||
		sidecar.RestartPolicy != "unless-stopped" || sidecar.Network != on.Resource() {
		t.Errorf("the sidecar: %+v", sidecar)
	}
}

func TestThePackageIsAFileAndNothingElse(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	file, ok := r.engine.File(on.Sidecar("web"), "/package")
	if !ok || file.Mode != 0o600 || !strings.Contains(string(file.Data), secret) {
		t.Errorf("the sidecar's package: %v, mode %o", ok, file.Mode)
	}
	for _, ref := range []string{on.Sidecar("web"), on.UserContainer("web")} {
		c, _ := r.engine.Inspect(ref)
		text, err := json.Marshal([]any{c, r.engine.Spec(ref)})
		if err != nil || strings.Contains(string(text), secret) {
			t.Errorf("%s shows the secret: %v", ref, err)
		}
	}
	for _, call := range r.engine.Calls() {
		if strings.Contains(call.String(), secret) {
			t.Errorf("%s has the secret", call)
		}
	}
}

func TestTheSidecarKeepsTheContainerFromItsNeighbours(t *testing.T) {
	r := newRig(t)
	r.mustRun()
	file, ok := r.engine.File(on.Sidecar("web"), rulesFile)
	if !ok || !strings.Contains(string(file.Data), "udp dport 49100 accept\n") || !strings.Contains(string(file.Data), "\t\tip daddr 10.9.0.0/24 goto refuse\n\t}") ||
		strings.Contains(string(file.Data), "{{") {
		t.Errorf("rules: %s", file.Data)
	}
	script := r.engine.Spec(on.Sidecar("web")).Entrypoint[2]
	if rules, join := strings.Index(script, "nft -f "+rulesFile), strings.Index(script, "client run "+packageFile); rules < 0 || join < rules {
		t.Errorf("the sidecar runs %q", script)
	}
}

func TestRunIsRefusedBeforeAnythingIsDone(t *testing.T) {
	for name, tc := range map[string]struct {
		lead func(r *rig, o *Options)
		id   fault.ID
		exit fault.Exit
	}{
		"gateway stopped": {func(r *rig, _ *Options) { r.engine.Kill(on.Resource()) }, fault.NotRunning, fault.ExitNotRunning},
		"gateway absent": {func(r *rig, _ *Options) {
			r.engine.Remove(on.Resource())
			must(r.t, r.engine.RemoveVolume(r.t.Context(), on.Resource()))
		}, fault.NotRunning, fault.ExitNotRunning},
		"gateway without a container": {func(r *rig, _ *Options) { r.engine.Remove(on.Resource()) }, fault.NotRunning, fault.ExitNotRunning},
		"gateway of somebody else": {func(r *rig, _ *Options) {
			r.engine.Edit(on.Resource(), func(c *docker.Container) { c.Labels = nil })
		}, fault.Foreign, fault.ExitConflict},
		"gateway without a network":    {func(r *rig, _ *Options) { r.engine.DropNetwork(on.Resource()) }, fault.NotRunning, fault.ExitNotRunning},
		"edge does not answer":         {func(r *rig, _ *Options) { r.deaf = true }, fault.EdgeFailed, fault.ExitFailure},
		"engine does not answer":       {func(r *rig, _ *Options) { r.engine.LoseAnswer("Exec", 0) }, fault.DockerUnreachable, fault.ExitUnreachable},
		"name of another container":    {func(r *rig, _ *Options) { r.mustRun() }, fault.ContainerExists, fault.ExitConflict},
		"name of another that stopped": {func(r *rig, _ *Options) { r.mustRun(); r.engine.Kill(on.UserContainer("web")) }, fault.ContainerExists, fault.ExitConflict},
		"name in use elsewhere": {func(r *rig, _ *Options) {
			r.clients = []edgeapi.VPNClient{{ID: "aa", Name: "web", Kind: edgeapi.KindContainer, Connected: true}}
		}, fault.ContainerExists, fault.ExitConflict},
		"name of somebody's client": {func(r *rig, _ *Options) {
			r.clients = []edgeapi.VPNClient{{ID: "aa", Name: "web", Connected: true}}
		}, fault.ContainerExists, fault.ExitConflict},
		"name of somebody's client that is away": {func(r *rig, _ *Options) {
			r.clients = []edgeapi.VPNClient{{ID: "aa", Name: "web"}}
		}, fault.ContainerExists, fault.ExitConflict},
		"half a container and somebody's client": {func(r *rig, _ *Options) {
			r.mustRun()
			r.engine.Remove(on.UserContainer("web"))
			r.clients = []edgeapi.VPNClient{{ID: "aa", Name: "web"}}
		}, fault.ContainerExists, fault.ExitConflict},
		"name with a dot":   {func(_ *rig, o *Options) { o.Name = "a.b" }, fault.BadName, fault.ExitUsage},
		"reserved name":     {func(_ *rig, o *Options) { o.Name = "collab" }, fault.BadName, fault.ExitUsage},
		"one service twice": {func(_ *rig, o *Options) { o.Services[1].Host = "web" }, fault.Usage, fault.ExitUsage},
		"service of a sandbox": {func(r *rig, _ *Options) {
			r.foreign = []edgeapi.Route{{Host: "api", Kind: edgeapi.KindSandbox, Owner: "box", OwnerID: "1", Port: 80, State: edgeapi.RouteDown}}
		}, fault.ServiceTaken, fault.ExitConflict},
		"container of somebody else": {func(r *rig, _ *Options) {
			_, err := r.engine.CreateContainer(r.t.Context(), docker.ContainerSpec{Name: on.Sidecar("web"), Image: "node:v1"})
			must(r.t, err)
		}, fault.Foreign, fault.ExitConflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, opts := newRig(t), options()
				tc.lead(r, &opts)
				before := r.left()
				r.engine.ResetCalls()
				wantFault(t, r.run(opts), tc.id, tc.exit)
				if changes := r.engine.Changes(); len(changes) > 0 {
					t.Errorf("changed: %v", changes)
				}
				if diff := cmp.Diff(before, r.left()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestRunWaitsForAnEdgeThatIsComingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.deaf = true
		go r.later(func() { r.deaf = false })
		r.mustRun()
		if c := r.get(); c.State != Running || r.steps[0] != "wait for the edge" {
			t.Errorf("%s after %v", c.State, r.steps)
		}
	})
}

func TestAFailedRunLeavesNothing(t *testing.T) {
	broken := docker.NewError(docker.Other, "start container", "web", `exec: "serve": executable file not found in $PATH`)
	for name, tc := range map[string]struct {
		lead func(r *rig)
		id   fault.ID
	}{
		"no such command":        {func(r *rig) { r.engine.Fail("StartContainer", 2, broken) }, fault.ContainerFailed},
		"sidecar does not start": {func(r *rig) { r.engine.Fail("StartContainer", 1, broken) }, fault.DockerFailed},
		"image gone":             {func(r *rig) { r.engine.RemoveImage("registry.example/team/web:v2") }, fault.ContainerFailed},
		"registration refused":   {func(r *rig) { r.refuses = "there are 1000 containers already" }, fault.ContainerFailed},
		"package not written":    {func(r *rig) { r.engine.Fail("WriteFile", 1, broken) }, fault.DockerFailed},
		"rules not written":      {func(r *rig) { r.engine.Fail("WriteFile", 2, broken) }, fault.DockerFailed},
		"no space":               {func(r *rig) { r.engine.Fail("CreateContainer", 2, docker.NewError(docker.NoSpace, "", "", "full")) }, fault.HostUnfit},
		"answer lost":            {func(r *rig) { r.engine.LoseAnswer("CreateContainer", 1) }, fault.DockerUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tc.lead(r)
			e := wantFault(t, r.run(options()), tc.id, exitOf(tc.id))
			if left := r.left(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if tc.id == fault.ContainerFailed && e.Cause == nil {
				t.Errorf("nobody learns why: %v", e)
			}
		})
	}
}

// A person registers the name between the run's look and its registration.
func TestAFailedRunLeavesAnothersRegistration(t *testing.T) {
	r := newRig(t)
	r.engine.Intercept(func(c dockertest.Call) error {
		if c.Op == "CreateContainer" {
			r.clients = []edgeapi.VPNClient{{ID: "aa", Name: "web"}}
		}
		return nil
	})
	wantFault(t, r.run(options()), fault.ContainerFailed, fault.ExitFailure)
	if diff := cmp.Diff([]string{"client web"}, r.left()); diff != "" {
		t.Error(diff)
	}
}

func TestAGatewayWithoutKindsRunsContainers(t *testing.T) {
	r := newRig(t)
	r.old = true
	r.mustRun()
	if c := r.get(); c.State != Running || len(c.Services) != 2 {
		t.Errorf("%+v", c)
	}
	must(t, r.m.Remove(t.Context(), on, "web", r))
	r.engine.Fail("StartContainer", 1, errors.New("no"))
	if err := r.run(options()); err == nil || len(r.left()) > 0 {
		t.Errorf("%v, left %v", err, r.left())
	}
}

func exitOf(id fault.ID) fault.Exit {
	if id == fault.DockerUnreachable {
		return fault.ExitUnreachable
	}
	return fault.ExitFailure
}

// TestARunThatEndsAnywhereIsMadeGoodByTheNextCommand ends openshell, by
// everything failing from a call on, at every call that a run makes.
func TestARunThatEndsAnywhereIsMadeGoodByTheNextCommand(t *testing.T) {
	killed := errors.New("killed")
	for _, next := range []string{"run", "rm"} {
		for n := 1; ; n++ {
			r := newRig(t)
			calls := 0
			r.engine.Intercept(func(dockertest.Call) error {
				if calls++; calls > n {
					return killed
				}
				return nil
			})
			ended := r.run(options()) != nil
			r.engine.Intercept(nil)
			if !ended {
				if n < 10 {
					t.Fatalf("a run makes %d calls", n)
				}
				break
			}
			at := fmt.Sprintf("%s after call %d, %v left", next, n, r.left())
			if next == "run" {
				if err := r.run(options()); err != nil {
					t.Errorf("%s: %v", at, err)
				} else if c := r.get(); c.State != Running {
					t.Errorf("%s: %s", at, c.State)
				}
				continue
			}
			if err := r.m.Remove(t.Context(), on, "web", r); err != nil && !fault.HasID(err, fault.ContainerAbsent) {
				t.Errorf("%s: %v", at, err)
			}
			if left := r.left(); len(left) > 0 {
				t.Errorf("%s: left %v", at, left)
			}
		}
	}
}

func TestANameIsFoundAfterTheImage(t *testing.T) {
	r := newRig(t)
	opts := options()
	opts.Name, opts.Services = "", nil
	for _, want := range []string{"web", "web-2", "web-3"} {
		got, err := r.m.Run(t.Context(), opts, r)
		if err != nil || got != want {
			t.Errorf("%q, %v; want %s", got, err, want)
		}
	}
	for image, want := range map[string]string{
		"nginx": "nginx", "nginx:1.27": "nginx", "localhost:5000/a/My_App@sha256:00": "my-app", "..": "container",
		strings.Repeat("x", 80): strings.Repeat("x", 50), "sha256:0123": "sha256",
	} {
		if got := nameAfter(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func FuzzServed(f *testing.F) {
	f.Add("web:8080")
	f.Add("web:08080")
	f.Add("a:1,b:2")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseServed(text)
		if err == nil && encodeServices([]Served{s}) != text {
			t.Errorf("%q is %q", text, encodeServices([]Served{s}))
		}
		services := servicesOf(map[string]string{labelServices: text})
		if again := servicesOf(map[string]string{labelServices: encodeServices(services)}); !slices.Equal(services, again) {
			t.Errorf("%v became %v", services, again)
		}
	})
}

func FuzzNameAfter(f *testing.F) {
	f.Add("a/b:c@d")
	f.Fuzz(func(t *testing.T, image string) {
		if name := nameAfter(image); CheckName(name+"-2") != nil {
			t.Errorf("%q gives %q", image, name)
		}
	})
}

// What a slow machine takes long for has not failed; a node that says nothing of
// it is not waited for.
func TestRunWaitsForAnEdgeThatComesUp(t *testing.T) {
	for name, tc := range map[string]struct {
		starts bool
		after  time.Duration
		id     fault.ID
	}{
		"comes up late":  {true, time.Minute, ""},
		"never comes up": {true, time.Hour, fault.EdgeFailed},
		"not said to":    {false, time.Minute, fault.EdgeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.deaf, r.starts = true, tc.starts
				up := time.AfterFunc(tc.after, func() {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.deaf = false
				})
				defer up.Stop()
				began := time.Now()
				err := r.run(options())
				if tc.id == "" {
					must(t, err)
					return
				}
				wantFault(t, err, tc.id, fault.ExitFailure)
				if took := time.Since(began); took > upcoming+nodeapi.EdgePatience {
					t.Errorf("it was waited for for %s", took)
				}
			})
		})
	}
}
