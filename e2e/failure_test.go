//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
)

// A node that ends by itself is not waited for, and a failed first start takes
// back what it made, so that the next one is not blocked by it.
func TestPitfall06And15FreshStartFails(t *testing.T) {
	t.Parallel()
	const words = "e2e: these are the last words"
	image := fmt.Sprintf("openshell-e2e/cluster:broken-%d", os.Getpid())
	// A version of its own: it is not to stand in for the node image elsewhere.
	imageLike(t, image, versionLabel("0.0.1"), `ENTRYPOINT ["sh", "-c", "echo '`+words+`'; exit 7"]`)
	g := newGateway(t, "broken")

	r := g.CLI(t, g.startArgs(t, "--image", image)...).Exits(t, 1).Says(t, words)
	if r.Took > 20*time.Second {
		t.Errorf("the crash loop was waited on for %s", r.Took)
	}
	if log := g.SavedLog(t, r); strings.Count(log, words) == 0 {
		t.Errorf("the log lacks the node's last words:\n%s", log)
	}
	if left := g.remains(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	left, err := filepath.Glob(filepath.Join(g.Dir(), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("of the host's files there are left: %v, %v", left, err)
	}
	docker(t, "image", "inspect", "--format", "{{.Id}}", image) // Pitfall 24: images are kept

	t.Run("keep on failure", func(t *testing.T) {
		g.CLI(t, g.startArgs(t, "--image", image, "--keep-on-failure")...).Exits(t, 1)
		if left := g.remains(t); len(left) != 3 {
			t.Errorf("kept: %v, not all three", left)
		}
		// Between two restarts the engine has it running for a moment.
		eventually(t, 30*time.Second, "status crashlooping", func() bool {
			status, code := g.Status(t)
			return code == 3 && status.Word == bootstrap.CrashLooping
		})
		g.CLI(t, "gateway", "logs").Exits(t, 0).Says(t, words)
	})
	t.Run("crash-looping", func(t *testing.T) {
		r := failsToResume(t, g, 1).Says(t, words)
		if log := g.SavedLog(t, r); r.Took > 20*time.Second || !strings.Contains(log, words) {
			t.Errorf("one more attempt took %s; the log:\n%s", r.Took, log)
		}
	})
	t.Run("TestPitfall18DestroyWhileRestarting", func(t *testing.T) {
		docker(t, "container", "start", g.Resource())
		eventually(t, 10*time.Second, "restarting", func() bool { return g.Inspect(t, "{{.State.Restarting}}") == "true" })
		g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
		g.Untouched(t, map[string]string{})
	})
	t.Run("not a node image", func(t *testing.T) {
		imageLike(t, image+"-other", "LABEL openshell.ai/image=other")
		g.CLI(t, g.startArgs(t, "--image", image+"-other")...).Exits(t, 2).Says(t, "not a node image")
		g.Untouched(t, map[string]string{})
	})
}

// One gateway suffers every fault in turn. It is never worse off than before,
// and as it was once the fault is gone.
func TestFaults(t *testing.T) {
	t.Parallel()
	// A version of its own, so that the node image cannot stand in for it.
	image := fmt.Sprintf("openshell-e2e/cluster:faults-%d", os.Getpid())
	imageLike(t, image, versionLabel(ownVersion(0)))
	g := newGateway(t, "faults")

	if !t.Run("timeout", func(t *testing.T) {
		g.CLI(t, g.startArgs(t, "--image", image, "--timeout", "1s")...).Exits(t, 6).Says(t, "left running", "last-failure.log")
		g.Start(t)
	}) {
		t.FailNow()
	}
	g.Keep(t)
	before := g.Fingerprint(t)

	for _, fault := range []struct {
		name string
		test func(*testing.T, *Gateway)
	}{
		{"port taken while stopped", testPortTakenOnResume},
		{"TestPitfall02SubnetTaken", testSubnetTaken},
		{"TestPitfall27EtcdDamaged", testEtcdDamaged},
		{"TestPitfall27SettingsDamaged", testSettingsDamaged},
		{"certificates of the node expired", testNodeCertificatesExpired},
		{"TestPitfall11ImageGone", func(t *testing.T, g *Gateway) { testNoImage(t, g, image) }},
		{"TestPitfall27VolumeFull", testVolumeFull}, // the last: its volume does not outlive its containers
	} {
		if !t.Run(fault.name, func(t *testing.T) {
			fault.test(t, g)
			r := g.Start(t)
			t.Logf("back in %s", r.Took.Round(time.Millisecond))
			g.Same(t, before)
			g.tidy(t)
		}) {
			t.FailNow() // what follows would only fail because of it
		}
	}
}

func versionLabel(version string) string { return "LABEL org.opencontainers.image.version=" + version }

// stopped is the footprint of the gateway after a stop.
func stopped(t *testing.T, g *Gateway) map[string]string {
	t.Helper()
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	return g.Footprint(t)
}

func testPortTakenOnResume(t *testing.T, g *Gateway) {
	before := stopped(t, g)
	l, err := net.Listen("tcp", g.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g.CLI(t, "gateway", "start").Exits(t, 5).Says(t, fmt.Sprint(g.Port), fmt.Sprintf("(%d)", os.Getpid()))
	g.Untouched(t, before)
}

func testSubnetTaken(t *testing.T, g *Gateway) {
	other := g.Resource() + "-other"
	var was string
	var taking Result
	for range 5 { // the gateway of another scenario may be quicker
		g.Start(t)
		was = g.Running(t).Network.Subnet
		stopped(t, g)
		docker(t, "network", "rm", g.Resource())
		if taking = run(t, nil, "", "docker", "network", "create", "--subnet", was, other); taking.Code == 0 {
			break
		}
	}
	taking.Exits(t, 0)
	t.Cleanup(func() { docker(t, "network", "rm", other) })

	g.Start(t).Says(t, was, "is taken by network "+other)
	status := g.Running(t)
	if now := status.Network.Subnet; now == was || now != status.Settings.Network.Subnet.String() {
		t.Errorf("range %s, recorded %s; it was %s", now, status.Settings.Network.Subnet, was)
	}
}

// failsToResume expects a start to fail with the exit code and to keep the
// volume and the container.
func failsToResume(t *testing.T, g *Gateway, code int) Result {
	t.Helper()
	what := func() []string {
		return append(g.remains(t), g.Inspect(t, "{{.Id}}"), docker(t, "volume", "inspect", "--format", "{{.CreatedAt}}", g.Resource()))
	}
	before := what()
	r := g.CLI(t, "gateway", "start").Exits(t, code)
	if after := what(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a failed resume changed what there is from %v to %v\n%s", before, after, r)
	}
	if running := g.Inspect(t, "{{.State.Running}}"); running != "false" {
		t.Error("the container of a failed resume still runs")
	}
	return r
}

func testEtcdDamaged(t *testing.T, g *Gateway) {
	stopped(t, g)
	g.OnVolume(t, "", "cp -a current/etcd etcd.kept")
	undo := func() { g.OnVolume(t, "", "rm -rf current/etcd; cp -a etcd.kept current/etcd") }
	for name, command := range map[string]string{
		"database overwritten": "head -c 300000 /dev/urandom | dd conv=notrunc of=current/etcd/member/snap/db",
		"database cut short":   "truncate -s 200000 current/etcd/member/snap/db",
		"end of the log lost":  "truncate -s 100000 current/etcd/member/wal/*.wal",
		"log gone":             "rm -rf current/etcd/member/wal",
		"all gone":             "rm -rf current/etcd",
	} {
		t.Run(name, func(t *testing.T) {
			g.OnVolume(t, "", command)
			defer undo()
			r := failsToResume(t, g, 7).Says(t, "cannot be read", "etcd", "stopped the container; it is kept")
			if r.Took > time.Minute {
				t.Errorf("unreadable state was waited on for %s", r.Took)
			}
			if log := g.SavedLog(t, r); !strings.Contains(log, "state-unreadable") {
				t.Errorf("the log does not say that the state is unreadable:\n%s", log)
			}
		})
	}
	t.Run("container gone as well", func(t *testing.T) {
		docker(t, "container", "rm", g.Resource())
		before := g.remains(t)
		g.OnVolume(t, "", "rm -rf current/etcd")
		defer undo()
		g.SavedLog(t, g.CLI(t, "gateway", "start").Exits(t, 7))
		if after := g.remains(t); !slices.Equal(after, before) {
			t.Errorf("a failed resume changed what there is from %v to %v", before, after)
		}
	})
	g.OnVolume(t, "", "rm -rf etcd.kept")
}

func testSettingsDamaged(t *testing.T, g *Gateway) {
	before := stopped(t, g)
	kept := g.OnVolume(t, "", "cat current/gateway.json")
	refused := func(gateway string) {
		t.Helper()
		g.CLI(t, "gateway", "start").Exits(t, 7).Says(t, "cannot be read", "--recreate")
		g.Untouched(t, before)
		if status, code := g.Status(t); code != 3 || status.Word != bootstrap.Broken {
			t.Errorf("status: %q, exit code %d; want broken, 3", status.Word, code)
		}
		if now := g.OnVolume(t, "", "cat current/gateway.json"); now != strings.TrimSpace(gateway) {
			t.Errorf("gateway.json was changed from %s to %s", gateway, now)
		}
	}
	const garbage = `{"version": 1, "name": `
	g.OnVolume(t, garbage, "cat >current/gateway.json")
	refused(garbage)
	docker(t, "container", "rm", g.Resource())
	delete(before, "container")
	refused(garbage)
	g.OnVolume(t, kept, "cat >current/gateway.json")
}

// ownVersion is the version of a test's images in this run; each test has its
// minor. Those that another test or run made are not another build of it.
func ownVersion(minor int) string { return fmt.Sprintf("0.%d.%d", minor, 1000+os.Getpid()) }

func testNoImage(t *testing.T, g *Gateway, image string) {
	older := image + "-older"
	imageLike(t, older, versionLabel("0.0.1"))
	before := stopped(t, g)
	g.CLI(t, "gateway", "start", "--image", older).Exits(t, 7).Says(t, ownVersion(0), "0.0.1")
	g.Untouched(t, before)

	docker(t, "container", "rm", g.Resource())
	delete(before, "container")
	// Without its tag, which a running container keeps from taking the image
	// along: the id in gateway.json is enough.
	holder := docker(t, "container", "run", "--detach", "--entrypoint", "sleep", image, "600")
	t.Cleanup(func() { run(t, nil, "", "docker", "container", "rm", "--force", holder) })
	docker(t, "image", "rm", "--force", image)
	g.Start(t)
	docker(t, "container", "rm", "--force", holder)
	id := g.Inspect(t, "{{.Image}}")
	stopped(t, g)
	docker(t, "container", "rm", g.Resource())
	docker(t, "image", "rm", id)

	before = g.Footprint(t)
	g.CLI(t, "gateway", "start").Exits(t, 7).Says(t, ownVersion(0), "older version 0.0.", "--image-archive")
	docker(t, "image", "rm", older)
	// What another run left behind may be older too.
	if r := g.CLI(t, "gateway", "start").Says(t, ownVersion(0), "--image-archive"); r.Code != 7 || !strings.Contains(r.Stderr, "older version 0.0.") {
		r.Exits(t, 1).Says(t, image)
	}
	g.Untouched(t, before)
	if status, code := g.Status(t); code != 3 || status.Word != bootstrap.Suspended {
		t.Errorf("status: %q, exit code %d; want suspended, 3", status.Word, code)
	}
	imageLike(t, image, versionLabel(ownVersion(0)))
}

func testVolumeFull(t *testing.T, g *Gateway) {
	stopped(t, g)
	holder := g.shrink(t, "600m")
	docker(t, "container", "exec", holder, "sh", "-c", "! cat /dev/zero >/new/filler")
	g.SavedLog(t, failsToResume(t, g, 1).Says(t, "is full"))
	docker(t, "container", "exec", holder, "rm", "/new/filler")
}

// shrink moves the state of the stopped gateway to a volume of that size, in
// memory. It lasts as long as the container that is returned, which has it at
// /new, or the gateway's own runs.
func (g *Gateway) shrink(t *testing.T, size string) string {
	t.Helper()
	holder, old := g.Resource()+"-holder", g.Resource()+"-old"
	docker(t, "container", "rm", g.Resource())
	docker(t, "container", "run", "--rm", "--volume", g.Resource()+":/from", "--volume", old+":/to",
		"--entrypoint", "cp", nodeImage(t), "--archive", "/from/.", "/to")
	t.Cleanup(func() { docker(t, "volume", "rm", old) })
	args := []string{"volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=" + size}
	for key, value := range g.Name.Labels("e2e") {
		args = append(args, "--label", key+"="+value)
	}
	docker(t, "volume", "rm", g.Resource())
	docker(t, append(args, g.Resource())...)
	docker(t, "container", "run", "--detach", "--name", holder, "--volume", g.Resource()+":/new", "--volume", old+":/old",
		"--entrypoint", "sleep", nodeImage(t), "600")
	t.Cleanup(func() { docker(t, "container", "rm", "--force", holder) })
	docker(t, "container", "exec", holder, "cp", "--archive", "/old/.", "/new")
	g.Start(t)
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	return holder
}
