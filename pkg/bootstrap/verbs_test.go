package bootstrap

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// states leads to every state of the table, from a healthy gateway.
var states = map[Word]func(r *rig){
	Absent:       func(r *rig) { r.mustDestroy() },
	Suspended:    func(r *rig) { r.engine.Remove(resource) },
	Stopped:      func(r *rig) { r.stop() },
	Broken:       func(r *rig) { r.engine.Kill(resource); r.forgetVolume() },
	Running:      func(*rig) {},
	CrashLooping: func(r *rig) { r.engine.SetState(resource, docker.StateRestarting) },
	Paused:       func(r *rig) { r.engine.SetState(resource, docker.StatePaused) },
	Removing:     func(r *rig) { r.engine.SetState(resource, docker.StateDead) },
}

func (r *rig) mustDestroy() {
	r.t.Helper()
	if _, err := r.m.Destroy(r.t.Context(), testName, r); err != nil {
		r.t.Fatal(err)
	}
}

// forgetVolume loses a volume that a container still refers to.
func (r *rig) forgetVolume() {
	c, _ := r.container()
	r.engine.Remove(resource)
	if err := r.engine.RemoveVolume(r.t.Context(), resource); err != nil {
		r.t.Fatal(err)
	}
	spec := containerSpec(gateway.Settings{Name: testName, Image: gateway.Image{ID: c.ImageID}, Port: 8080, Bind: "127.0.0.1"}, c.Labels)
	spec.Volumes = nil
	if _, err := r.engine.CreateContainer(r.t.Context(), spec); err != nil {
		r.t.Fatal(err)
	}
	r.engine.SetState(resource, docker.StateExited)
}

func TestPitfall18DestroyWorksInEveryState(t *testing.T) {
	for word, lead := range states {
		t.Run(string(word), func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				lead(r)
				was, err := r.m.Destroy(t.Context(), testName, r)
				if err != nil || was != word {
					t.Fatalf("%s, %v", was, err)
				}
				if left := r.leftovers(); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
				if _, err := r.host.Active(); err == nil {
					t.Error("still selected")
				}
				if _, err := r.engine.Image(t.Context(), rigImage); err != nil {
					t.Errorf("pitfall 24: the image is gone: %v", err)
				}
				r.mustStart(StartOptions{})
			})
		})
	}
}

func TestStopWorksInEveryState(t *testing.T) {
	for word, lead := range states {
		t.Run(string(word), func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				before := r.identity()
				lead(r)
				was, err := r.m.Stop(t.Context(), testName, r)
				if err != nil || was != word {
					t.Fatalf("%s, %v", was, err)
				}
				if c, ok := r.container(); ok && (c.State == docker.StateRunning || c.State == docker.StatePaused || c.State == docker.StateRestarting) {
					t.Errorf("container is %s", c.State)
				}
				if word != Absent && word != Broken && r.identity() != before {
					t.Errorf("identity %q, before %q", r.identity(), before)
				}
			})
		})
	}
}

func TestForeignIsLeftAloneByEveryVerb(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		if err := r.engine.CreateVolume(t.Context(), resource, map[string]string{"owner": "somebody"}); err != nil {
			t.Fatal(err)
		}
		r.engine.ResetCalls()
		ctx := t.Context()
		_, stop := r.m.Stop(ctx, testName, r)
		_, destroy := r.m.Destroy(ctx, testName, r)
		_, restore := r.m.Restore(ctx, testName, "aside-20260101T000000Z", r)
		_, start := r.start(StartOptions{})
		_, recreate := r.start(StartOptions{Recreate: true})
		sel := r.m.Select(ctx, testName)
		for verb, err := range map[string]error{"stop": stop, "destroy": destroy, "restore": restore, "start": start, "recreate": recreate, "select": sel} {
			if !fault.HasID(err, fault.Foreign) || fault.ExitOf(err) != fault.ExitConflict {
				t.Errorf("%s: %v", verb, err)
			}
		}
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("changed: %v", changes)
		}
		if s, err := r.m.Status(ctx, testName); err != nil || s.Word != Foreign {
			t.Errorf("status: %+v, %v", s, err)
		}
	})
}

func TestBrokenIsRefused(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.Kill(resource)
		r.forgetVolume()
		if e := r.mustFail(StartOptions{}, fault.StateLost); e.Exit != fault.ExitDecision {
			t.Errorf("%+v", e)
		}
		r.mustStart(StartOptions{Recreate: true})
	})
}

func TestStatusInEveryState(t *testing.T) {
	for word, lead := range states {
		t.Run(string(word), func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				lead(r)
				s, err := r.m.Status(t.Context(), testName)
				if err != nil || s.Word != word || s.Healthy != (word == Running) {
					t.Fatalf("%+v, %v", s, err)
				}
				if len(s.Remediation) == 0 && word != Running && word != Removing {
					t.Error("no remediation")
				}
				if _, ok := r.engine.Inspect(helperName(testName)); ok {
					t.Error("a helper container was left")
				}
			})
		})
	}
}

func TestStatusDoesNotDisturbAStart(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.Remove(resource)
		unlock, err := r.host.Lock(t.Context(), testName, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		r.engine.ResetCalls()
		if s, err := r.m.Status(t.Context(), testName); err != nil || s.Word != Suspended {
			t.Errorf("%+v, %v", s, err)
		}
		if changes := r.engine.Changes(); len(changes) > 0 {
			t.Errorf("helpers were used beside the holder of the lock: %v", changes)
		}
	})
}

// The lock is one of a user; the helper of another user is at work.
func TestAnotherUsersHelperIsLeftAlone(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.Remove(resource)
		labels := testName.Labels(rigVersion)
		labels[lockLabel] = "another"
		image := r.image()
		if _, err := r.engine.CreateContainer(t.Context(), docker.ContainerSpec{Name: helperName(testName), Image: image.ID, Labels: labels}); err != nil {
			t.Fatal(err)
		}
		r.engine.SetState(helperName(testName), docker.StateRunning)
		if s, err := r.m.Status(t.Context(), testName); err != nil || s.Word != Suspended {
			t.Errorf("%+v, %v", s, err)
		}
		if e := r.mustFail(StartOptions{}, fault.Locked); e.Exit != fault.ExitConflict {
			t.Errorf("%+v", e)
		}
		if _, ok := r.engine.Inspect(helperName(testName)); !ok {
			t.Error("it was removed")
		}
		r.engine.SetState(helperName(testName), docker.StateExited)
		time.Sleep(time.Until(r.engine.Now()) + 2*helperTime)
		r.mustStart(StartOptions{})
	})
}

func TestRestoreExchangesStates(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		old := r.identity()
		r.stop()
		const aside = nodeapi.AsidePrefix + "20260101T000000Z"
		r.beginBeside(aside)
		r.mustStart(StartOptions{})
		if r.identity() == old {
			t.Fatal("the rig made the same CA twice")
		}
		if _, err := r.m.Restore(t.Context(), testName, "aside-20250101T000000Z", r); !fault.HasID(err, fault.AsideMissing) {
			t.Errorf("%v", err)
		}
		present, err := r.m.Restore(t.Context(), testName, aside, r)
		if err != nil || !strings.HasPrefix(present, nodeapi.AsidePrefix) {
			t.Fatalf("%q, %v", present, err)
		}
		r.mustStart(StartOptions{})
		if r.identity() != old {
			t.Errorf("identity %q, want %q", r.identity(), old)
		}
		s, err := r.m.Status(t.Context(), testName)
		if err != nil || len(s.Volume.Asides) != 1 || s.Volume.Asides[0].Name != present {
			t.Errorf("%+v, %v", s.Volume, err)
		}
	})
}

// What cannot be read is not said to be nothing.
func TestRestorableIsListedOrRefused(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		list := func() ([]nodeapi.Aside, error) { return r.m.Restorable(t.Context(), testName) }
		if _, err := list(); !fault.HasID(err, fault.NotFound) {
			t.Errorf("of no gateway: %v", err)
		}
		r.mustStart(StartOptions{})
		r.stop()
		if have, err := list(); err != nil || len(have) != 0 {
			t.Errorf("%v, %v", have, err)
		}
		const aside = nodeapi.AsidePrefix + "20260101T000000Z"
		r.beginBeside(aside)
		if have, err := list(); err != nil || len(have) != 1 || have[0].Name != aside {
			t.Errorf("%v, %v", have, err)
		}
		r.engine.Fail("CreateContainer", 1, docker.NewError(docker.Other, "create container", "", "injected"))
		if have, err := list(); err == nil {
			t.Errorf("unread, and said to be %v", have)
		}
	})
}

// A restore that cannot be done leaves the gateway running.
func TestRestoreWithoutAnImageStopsNothing(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.stop()
		const aside = nodeapi.AsidePrefix + "20260101T000000Z"
		r.beginBeside(aside)
		r.mustStart(StartOptions{})
		c, _ := r.container()
		r.engine.RemoveImage(c.ImageID)
		if _, err := r.m.Restore(t.Context(), testName, aside, r); !fault.HasID(err, fault.ImageMissing) {
			t.Fatalf("%v", err)
		}
		if c, _ = r.container(); c.State != docker.StateRunning {
			t.Errorf("the container is %s", c.State)
		}
	})
}

func TestPitfall19EveryVerbTakesTheName(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		if err := r.m.Select(t.Context(), "other"); !fault.HasID(err, fault.NotFound) {
			t.Errorf("select: %v", err)
		}
		if was, err := r.m.Stop(t.Context(), "other", r); err != nil || was != Absent {
			t.Errorf("stop: %s, %v", was, err)
		}
		if c, _ := r.container(); c.State != docker.StateRunning {
			t.Errorf("another gateway was stopped")
		}
		all, err := r.m.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != testName || all[0].Word != Running || !all[0].Active {
			t.Errorf("list: %+v, %v", all, err)
		}
	})
}

func TestStatusOfAFrozenNodeEnds(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.frozen = true
		began := time.Now()
		s, err := r.m.Status(t.Context(), testName)
		if took := time.Since(began); err != nil || s.Word != Running || took > 10*time.Second {
			t.Errorf("after %s: %+v, %v", took, s, err)
		}
	})
}

// A question to the node takes three calls: an engine that is slow with each
// does not make the node one that gives no answer.
func TestStatusOfASlowEngineKnowsTheNode(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		const slow = 2 * time.Second
		r.engine.Intercept(func(dockertest.Call) error { time.Sleep(slow); return nil })
		r.asking = 3 * slow
		s, err := r.m.Status(t.Context(), testName)
		if err != nil || s.Word != Running || s.Node == nil {
			t.Errorf("%+v, %v", s, err)
		}
		r.sick = errors.New("connection refused")
		s, err = r.m.Status(t.Context(), testName)
		if err != nil || s.Word != DegradedWord || s.Node == nil {
			t.Errorf("while it does not serve: %+v, %v", s, err)
		}
	})
}

func TestStatusOfAFrozenNodeDoesNotHoldTheLock(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.frozen = true
		asked := make(chan error)
		go func() {
			_, err := r.m.Status(t.Context(), testName)
			asked <- err
		}()
		time.Sleep(time.Second)
		began := time.Now()
		unlock, err := r.host.Lock(t.Context(), testName, nil)
		if took := time.Since(began); err != nil || took > 100*time.Millisecond {
			t.Fatalf("the lock came after %s, %v", took, err)
		}
		unlock()
		if err := <-asked; err != nil {
			t.Error(err)
		}
	})
}

// A start beside it makes the container anew between two looks.
func TestStatusAndListLookAgainWhenTheContainerVanished(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		gone := docker.NewError(docker.NotFound, "read file", resource, "No such container")
		r.engine.Fail("ReadFile", 1, gone)
		if s, err := r.m.Status(t.Context(), testName); err != nil || s.Word != Running {
			t.Errorf("%+v, %v", s, err)
		}
		r.engine.Fail("ReadFile", 1, gone)
		if all, err := r.m.List(t.Context()); err != nil || len(all) != 1 || all[0].Word != Running {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestADamagedSelectionIsNoReasonToDoNothing(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.stop()
		file := filepath.Join(r.root, "active_gateway")
		if err := os.WriteFile(file, []byte("?\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.mustStart(StartOptions{})
		if _, err := r.m.Status(t.Context(), testName); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != "?\n" {
			t.Errorf("a start replaced the selection: %q, %v", text, err)
		}
		if err := r.m.Select(t.Context(), testName); err != nil {
			t.Error(err)
		}
		if name, err := r.host.Active(); err != nil || name != testName {
			t.Errorf("%q, %v", name, err)
		}
	})
}

func TestExecAndLogs(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.Log(resource, "hello from the node")
		var out bytes.Buffer
		code, err := r.m.Exec(t.Context(), testName, []string{"id", "-u"}, Stdio{Out: &out})
		if err != nil || code != 7 || out.String() != "id -u\n" {
			t.Errorf("exec: %d, %q, %v", code, out.String(), err)
		}
		out.Reset()
		if err := r.m.Logs(t.Context(), testName, 10, false, &out); err != nil || out.String() != "hello from the node\n" {
			t.Errorf("logs: %q, %v", out.String(), err)
		}
		r.stop()
		if _, err := r.m.Exec(t.Context(), testName, []string{"id"}, Stdio{}); !fault.HasID(err, fault.NotRunning) {
			t.Errorf("exec on a stopped gateway: %v", err)
		}
		r.mustDestroy()
		if err := r.m.Logs(t.Context(), testName, 0, false, &out); !fault.HasID(err, fault.NotFound) {
			t.Errorf("logs of an absent gateway: %v", err)
		}
	})
}
