package bootstrap

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
)

// runGuest makes a user container and its sidecar on the gateway's network, and
// starts them.
func (r *rig) runGuest(name string) (user, sidecar docker.Container) {
	r.t.Helper()
	ctx := r.t.Context()
	labels := testName.Labels(rigVersion)
	maps.Copy(labels, testName.UserContainers())
	labels[gateway.LabelContainer] = name
	for _, spec := range []docker.ContainerSpec{
		{Name: testName.Sidecar(name), Image: rigImage, Labels: labels, Network: resource, RestartPolicy: "unless-stopped"},
		{Name: testName.UserContainer(name), Image: rigImage, Labels: labels, NetworkOf: testName.Sidecar(name), RestartPolicy: "unless-stopped"},
	} {
		if _, err := r.engine.CreateContainer(ctx, spec); err != nil {
			r.t.Fatal(err)
		}
		if err := r.engine.StartContainer(ctx, spec.Name); err != nil {
			r.t.Fatal(err)
		}
	}
	user, _ = r.engine.Inspect(testName.UserContainer(name))
	sidecar, _ = r.engine.Inspect(testName.Sidecar(name))
	return user, sidecar
}

func TestDestroyTakesUserContainersWithIt(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.runGuest("web")
		r.runGuest("db")
		other := gateway.Name("other")
		labels := other.Labels(rigVersion)
		maps.Copy(labels, other.UserContainers())
		if _, err := r.engine.CreateContainer(t.Context(), docker.ContainerSpec{Name: other.Sidecar("web"), Image: rigImage, Labels: labels}); err != nil {
			t.Fatal(err)
		}
		r.mustDestroy()
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		all, err := r.engine.Containers(t.Context(), nil)
		if err != nil || len(all) != 1 || all[0].Name != other.Sidecar("web") {
			t.Errorf("left: %v, %v; want the other gateway's", all, err)
		}
	})
}

func TestDestroyGoesOnFromUserContainersThatAreLeft(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.runGuest("web")
		r.engine.Fail("PurgeContainer", 2, docker.NewError(docker.Unreachable, "remove container", "", "EOF"))
		if _, err := r.m.Destroy(t.Context(), testName, r); err == nil {
			t.Fatal("a failure was not told")
		}
		r.mustDestroy()
		if _, ok := r.engine.Inspect(testName.Sidecar("web")); ok {
			t.Error("the sidecar is left")
		}
	})
}

func TestANetworkMadeAnewTakesSidecarsAlong(t *testing.T) {
	for name, lead := range map[string]func(r *rig){
		"its range was taken, they run": func(r *rig) {
			n, err := r.engine.Network(r.t.Context(), resource)
			if err != nil {
				r.t.Fatal(err)
			}
			r.routes = append(r.routes, HostRange{netip.PrefixFrom(n.Subnets[0].Addr(), 16).Masked(), "tun0"})
		},
		"it was removed, they are stopped": func(r *rig) {
			r.engine.Kill(testName.UserContainer("web"))
			r.engine.Kill(testName.Sidecar("web"))
			r.engine.DropNetwork(resource)
		},
		"it was removed, they were never started": func(r *rig) {
			r.engine.SetState(testName.UserContainer("web"), docker.StateCreated)
			r.engine.SetState(testName.Sidecar("web"), docker.StateCreated)
			r.engine.DropNetwork(resource)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				user, sidecar := r.runGuest("web")
				r.stop()
				lead(r)
				res := r.mustStart(StartOptions{})
				if !slices.Contains(res.Changed, string(CreateNetwork)) {
					t.Fatalf("the network is the same: %v", res.Changed)
				}
				for _, c := range []docker.Container{sidecar, user} {
					if now, ok := r.engine.Inspect(c.Name); !ok || now.ID != c.ID {
						t.Errorf("%s was made anew or removed", c.Name)
					}
					if err := r.engine.StartContainer(t.Context(), c.Name); err != nil {
						t.Errorf("it cannot be started any more: %v", err)
					}
				}
				n, err := r.engine.Network(t.Context(), resource)
				now, _ := r.engine.Inspect(sidecar.Name)
				if err != nil || now.NetworkIDs[resource] != n.ID {
					t.Errorf("%v: the sidecar is on %v, the network is %s", err, now.NetworkIDs, n.ID)
				}
			})
		})
	}
}

func TestASidecarThatCannotBeAttachedDoesNotKeepTheGatewayDown(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.runGuest("web")
		r.stop()
		r.engine.Kill(testName.Sidecar("web"))
		r.engine.DropNetwork(resource)
		r.engine.Fail("ConnectNetwork", 1, docker.NewError(docker.Other, "connect to network", resource, "no more addresses"))
		if res := r.mustStart(StartOptions{}); len(res.Warnings) != 1 {
			t.Errorf("warnings: %q", res.Warnings)
		}
	})
}
