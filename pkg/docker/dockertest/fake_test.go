package dockertest_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
)

func newContainer(t *testing.T, f *dockertest.Fake, name string) string {
	t.Helper()
	f.AddImage(nil, "node:dev")
	id, err := f.CreateContainer(context.Background(), docker.ContainerSpec{
		Name: name, Image: "node:dev", Volumes: map[string]string{"/data": "vol"}, RestartPolicy: "unless-stopped",
		Ports: []docker.Port{{Host: 8080, Bind: "127.0.0.1", Container: 80, Proto: "tcp"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFailCountsFromTheNextCallAndHasNoEffect(t *testing.T) {
	f, boom := dockertest.New(), errors.New("boom")
	f.Fail("CreateVolume", 2, boom)
	for i, name := range []string{"a", "b", "c"} {
		err := f.CreateVolume(context.Background(), name, nil)
		if got, want := err != nil, i == 1; got != want {
			t.Errorf("call %d failed: %v", i+1, err)
		}
	}
	vols, _ := f.Volumes(context.Background(), nil)
	if len(vols) != 2 {
		t.Errorf("volumes %v, want a and c", vols)
	}
}

func TestLoseAnswerHasItsEffect(t *testing.T) {
	f := dockertest.New()
	newContainer(t, f, "c")
	started := 0
	f.OnStart(func(*dockertest.Fake, docker.Container) { started++ })
	f.LoseAnswer("StartContainer", 1)
	if err := f.StartContainer(context.Background(), "c"); !docker.IsUnreachable(err) {
		t.Errorf("err %v, want unreachable", err)
	}
	if c, _ := f.Inspect("c"); c.State != docker.StateRunning || started != 1 {
		t.Errorf("state %s, started %d times", c.State, started)
	}
}

func TestInterceptAnswersInsteadOfTheCall(t *testing.T) {
	f, killed := dockertest.New(), errors.New("killed")
	f.Intercept(func(c dockertest.Call) error {
		if c.Op == "CreateVolume" {
			return killed
		}
		return nil
	})
	if err := f.CreateVolume(context.Background(), "v", nil); !errors.Is(err, killed) {
		t.Errorf("err %v", err)
	}
	if _, err := f.Volume(context.Background(), "v"); !docker.IsNotFound(err) {
		t.Errorf("err %v, want not found", err)
	}
	got := []string{f.Calls()[0].String(), f.Changes()[0].String()}
	if diff := cmp.Diff([]string{"CreateVolume v", "CreateVolume v"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRestartPolicyAppliesUnlessStopped(t *testing.T) {
	ctx, f := context.Background(), dockertest.New()
	newContainer(t, f, "c")
	state := func() docker.ContainerState { c, _ := f.Inspect("c"); return c.State }
	if err := f.StartContainer(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	f.Exit("c", 1)
	if c, _ := f.Inspect("c"); c.State != docker.StateRunning || c.Restarts != 1 {
		t.Errorf("after a crash: %s, %d restarts", c.State, c.Restarts)
	}
	f.RestartEngine()
	if state() != docker.StateRunning {
		t.Errorf("after the engine restarted: %s", state())
	}
	if err := f.StopContainer(ctx, "c", 0); err != nil {
		t.Fatal(err)
	}
	f.RestartEngine()
	if state() != docker.StateExited {
		t.Errorf("a stopped container came back: %s", state())
	}
}

func TestHeldPortFailsTheStartAndNamesIt(t *testing.T) {
	ctx, f := context.Background(), dockertest.New()
	newContainer(t, f, "c")
	f.OccupyPort(8080, "tcp", true)
	err := f.StartContainer(ctx, "c")
	if port, ok := docker.PortOf(err); !ok || port != 8080 || !docker.IsPortInUse(err) {
		t.Errorf("err %v names port %d", err, port)
	}
	f.OccupyPort(8080, "tcp", false)
	if err := f.StartContainer(ctx, "c"); err != nil {
		t.Error(err)
	}
}

func TestNetworkMadeAnewUnderTheSameNameDoesNotServeAnOldContainer(t *testing.T) {
	ctx, f := context.Background(), dockertest.New()
	f.AddImage(nil, "node:dev")
	subnet := netip.MustParsePrefix("10.9.0.0/24")
	start := func() error { return f.StartContainer(ctx, "c") }
	if err := f.CreateNetwork(ctx, "net", subnet, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateContainer(ctx, docker.ContainerSpec{Name: "c", Image: "node:dev", Network: "net"}); err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	f.Kill("c")
	f.DropNetwork("net")
	if err := start(); !docker.IsNetworkMissing(err) || docker.IsNotFound(err) {
		t.Errorf("err %v, want network missing", err)
	}
	if err := f.CreateNetwork(ctx, "net", subnet, nil); err != nil {
		t.Fatal(err)
	}
	if err := start(); !docker.IsNetworkMissing(err) {
		t.Errorf("err %v, want network missing", err)
	}
}
