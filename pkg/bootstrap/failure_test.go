package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

func TestPitfall04SecondStartWaits(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		unlock, err := r.host.Lock(t.Context(), testName, nil)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := r.start(StartOptions{})
			done <- err
		}()
		time.Sleep(time.Second)
		if calls := r.engine.Calls(); len(calls) > 0 {
			t.Errorf("the second start did not wait: %v", calls)
		}
		unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !r.said("waiting for ") {
			t.Errorf("who holds the lock was not said: %+v", r.events)
		}
	})
}

// A start is cut short at every single call and change to a host file, by an
// error, by a lost answer and by death (everything later fails too); then a
// plain start has to lead to a healthy gateway without leftovers, and to the
// same one where there was one.
func TestPitfall05InterruptedAnywhereThenConverges(t *testing.T) {
	type setup struct {
		before func(r *rig)
		opts   StartOptions
	}
	born := func(then func(r *rig)) func(r *rig) {
		return func(r *rig) { r.mustStart(StartOptions{}); then(r) }
	}
	setups := map[string]setup{
		"fresh":           {func(*rig) {}, StartOptions{}},
		"stopped":         {born(func(r *rig) { r.stop() }), StartOptions{}},
		"suspended":       {born(func(r *rig) { r.engine.Remove(resource) }), StartOptions{}},
		"network removed": {born(func(r *rig) { r.engine.Kill(resource); r.engine.DropNetwork(resource) }), StartOptions{}},
		"port changed":    {born(func(*rig) {}), StartOptions{Port: ptr(9000)}},
		"suspended, port": {born(func(r *rig) { r.engine.Remove(resource) }), StartOptions{Port: ptr(9000)}},
		"stopped, memory": {born(func(r *rig) { r.stop() }), StartOptions{Memory: ptr(int64(4 << 30))}},
		"bundle lost":     {born(func(r *rig) { r.stop(); os.RemoveAll(r.root) }), StartOptions{}},
		"recreate":        {born(func(*rig) {}), StartOptions{Recreate: true}},
	}
	for name, s := range setups {
		for _, kind := range []string{"error", "lost answer", "death"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				for n := 1; ; n++ {
					if over := interruptedAt(t, s.before, s.opts, kind, n); over {
						t.Logf("%d calls", n-1)
						return
					}
				}
			})
		}
	}
}

// interruptedAt reports whether the start has fewer calls than n.
func interruptedAt(t *testing.T, before func(*rig), opts StartOptions, kind string, n int) (over bool) {
	t.Helper()
	inTime(t, func(t *testing.T, r *rig) {
		before(r)
		identity := r.identity()
		cut, count := r.cutAt(kind, n)
		_, err := r.start(opts)
		r.uncut()
		if count() < n {
			over = true
			if err != nil {
				t.Errorf("not interrupted, and yet: %v", err)
			}
			return
		}
		if fault.HasID(err, fault.Internal) {
			t.Errorf("call %d (%s): not foreseen: %v", n, *cut, err)
		}
		if opts.Recreate {
			identity = ""
		}
		if identity != "" && r.identity() != identity {
			t.Errorf("call %d (%s): the identity is %q, was %q", n, *cut, r.identity(), identity)
		}
		if _, err := r.start(StartOptions{}); err != nil {
			t.Errorf("call %d (%s): the next start: %v", n, *cut, err)
			return
		}
		if identity != "" && r.identity() != identity {
			t.Errorf("call %d (%s): after the next start the identity is %q, was %q", n, *cut, r.identity(), identity)
		}
		want := []string{"container " + resource, "volume", "network", "bundle"}
		if left := r.leftovers(); !slices.Equal(left, want) {
			t.Errorf("call %d (%s): there is %v", n, *cut, left)
		}
	})
	return over
}

// cutAt cuts short, at the nth call or change to a host file from now on,
// whatever is done: by an error, a lost answer, or death, after which everything
// fails. It says which call that is, and how many there were.
func (r *rig) cutAt(kind string, n int) (cut *dockertest.Call, count func() int) {
	cut = &dockertest.Call{}
	calls := 0
	r.host.Commit = func(path string, change func() error) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		calls++
		var err error
		switch {
		case calls == n:
			*cut = dockertest.Call{Op: "host file", Ref: path}
			if kind == "lost answer" {
				err = change()
			}
			return errors.Join(errors.New("injected"), err)
		case calls > n && kind == "death":
			return errors.New("injected")
		}
		return change()
	}
	r.engine.Intercept(func(c dockertest.Call) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		calls++
		switch {
		case calls == n:
			*cut = c
			if kind == "lost answer" {
				r.engine.LoseAnswer(c.Op, 1)
				return nil
			}
			return docker.NewError(docker.Other, c.Op, c.Ref, "injected")
		case calls > n && kind == "death":
			return docker.NewError(docker.Unreachable, c.Op, c.Ref, "injected")
		}
		return nil
	})
	return cut, func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return calls
	}
}

// uncut ends what cutAt began.
func (r *rig) uncut() {
	r.engine.Intercept(nil)
	r.host.Commit = nil
}

func TestPitfall06And24FailedFreshStartLeavesOnlyTheImage(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.clusterErr = errors.New("the server is currently unable to handle the request")
		e := r.mustFail(StartOptions{}, fault.ClusterError)
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		if _, err := r.engine.Image(t.Context(), rigImage); err != nil {
			t.Errorf("the image is gone: %v", err)
		}
		r.savedLog(e, "failing step: reconcile secrets")
		r.clusterErr = nil
		r.mustStart(StartOptions{})
	})
}

// What goes wrong after a new gateway was healthy costs nothing of it.
func TestFailureAfterAFreshStartWasHealthyTakesNothingBack(t *testing.T) {
	for name, fail := range map[string]func(*rig){
		"metadata not written": func(r *rig) {
			r.host.Commit = func(path string, change func() error) error {
				if filepath.Base(path) == "metadata.json" {
					return errors.New("injected")
				}
				return change()
			}
		},
		"answer to the mark lost": func(r *rig) {
			writes := 0
			r.engine.Intercept(func(c dockertest.Call) error {
				if c.Op == "WriteFile" {
					if writes++; writes == 2 { // the first are the settings
						r.engine.LoseAnswer(c.Op, 1)
					}
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				fail(r)
				if _, err := r.start(StartOptions{}); err == nil {
					t.Fatal("nothing failed")
				}
				r.uncut()
				before := r.identity()
				if c, _ := r.container(); before == "" || c.State != docker.StateRunning {
					t.Fatalf("left: %v, the container is %q", r.leftovers(), c.State)
				}
				r.mustStart(StartOptions{})
				if r.identity() != before {
					t.Error("another gateway was started")
				}
			})
		})
	}
}

func TestFailureAfterHostFilesTakesThemBackAndKeepsTheLog(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.sick = errors.New("503")
		r.failure = &nodeapi.Failure{ID: nodeapi.FailureDiskFull, Message: "no space left on device"}
		e := r.mustFail(StartOptions{}, fault.HostUnfit)
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		r.savedLog(e, "no space left on device")
	})
}

// savedLog checks that the failure names a file, which holds the words.
func (r *rig) savedLog(e *fault.Error, words ...string) {
	r.t.Helper()
	for _, h := range e.Hints {
		_, path, ok := strings.Cut(h, "what the node said is in ")
		if !ok {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				r.t.Errorf("%q is not in the log:\n%s", w, text)
			}
		}
		return
	}
	r.t.Errorf("no path in %q", e.Hints)
}

func TestPitfall07FailedResumeKeepsVolumeAndContainer(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.identity()
		r.stop()
		r.failure, r.sick = &nodeapi.Failure{ID: nodeapi.FailureStateUnreadable, Message: "etcd: wal: crc mismatch"}, errors.New("503")
		e := r.mustFail(StartOptions{}, fault.StateDamaged)
		if e.Exit != fault.ExitDecision {
			t.Errorf("%+v", e)
		}
		c, ok := r.container()
		if !ok || c.State != docker.StateExited || r.identity() != before {
			t.Errorf("container %v %s, identity %q", ok, c.State, r.identity())
		}
		r.failure, r.sick = nil, nil
		r.mustStart(StartOptions{})
		if r.identity() != before {
			t.Errorf("identity %q, before %q", r.identity(), before)
		}
	})
}

func TestPitfall07FailedResumeRemovesOnlyTheContainerItMade(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.identity()
		r.engine.Remove(resource)
		r.clusterErr = errors.New("boom")
		e := r.mustFail(StartOptions{}, fault.ClusterError)
		if _, ok := r.container(); ok || r.identity() != before {
			t.Errorf("container %v, identity %q", ok, r.identity())
		}
		if !slices.ContainsFunc(e.Hints, func(h string) bool { return strings.Contains(h, "`openshell gateway start dev`") }) {
			t.Errorf("hints: %q", e.Hints)
		}
	})
}

// Nothing can be taken back from an engine that went away. That is said once,
// and the next start begins with what is left.
func TestPitfall10EngineThatGoesAwayIsNotBlamedForEveryThing(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		away := false
		r.engine.Intercept(func(c dockertest.Call) error {
			if away = away || c.Op == "StartContainer"; away {
				return docker.NewError(docker.Unreachable, c.Op, "", "connection refused")
			}
			return nil
		})
		r.mustFail(StartOptions{}, fault.DockerUnreachable)
		var warnings []string
		for _, e := range r.events {
			if e.Kind == Warning {
				warnings = append(warnings, e.Message)
			}
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "does not answer") {
			t.Errorf("warnings: %q", warnings)
		}
		r.engine.Intercept(nil)
		r.mustStart(StartOptions{})
	})
}

func TestFailedVerifyLeavesARunningGatewayRunning(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.clusterErr = errors.New("etcdserver: request timed out")
		r.mustFail(StartOptions{}, fault.ClusterError)
		if c, _ := r.container(); c.State != docker.StateRunning {
			t.Errorf("container is %s", c.State)
		}
	})
}

func TestKeepOnFailureKeepsEverything(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.clusterErr = errors.New("boom")
		r.mustFail(StartOptions{KeepOnFailure: true}, fault.ClusterError)
		if left := r.leftovers(); !slices.Equal(left, []string{"container " + resource, "volume", "network"}) {
			t.Errorf("left: %v", left)
		}
	})
}

func TestCtrlCTakesTheFailurePath(t *testing.T) {
	for _, resume := range []bool{false, true} {
		t.Run(fmt.Sprintf("resume=%t", resume), func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				if resume {
					r.mustStart(StartOptions{})
					r.stop()
				}
				r.sick, r.boot = errors.New("503"), fullBoot[:2]
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					time.Sleep(3 * time.Second)
					cancel()
				}()
				_, err := r.m.Start(ctx, StartOptions{Name: testName}, r)
				synctest.Wait()
				if fault.ExitOf(err) != fault.ExitInterrupted {
					t.Fatalf("%v", err)
				}
				c, ok := r.container()
				switch {
				case resume && (!ok || c.State != docker.StateExited):
					t.Errorf("container %v %s", ok, c.State)
				case !resume && len(r.leftovers()) > 0:
					t.Errorf("left: %v", r.leftovers())
				}
				r.sick, r.boot = nil, fullBoot
				r.mustStart(StartOptions{})
			})
		})
	}
}

func TestAnotherUsersCLIWasFaster(t *testing.T) {
	for _, op := range []string{"CreateNetwork", "CreateVolume", "CreateContainer"} {
		t.Run(op, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.engine.Fail(op, 1, docker.NewError(docker.Conflict, op, resource, "the name is already in use"))
				if e := r.mustFail(StartOptions{}, fault.Locked); e.Exit != fault.ExitConflict {
					t.Errorf("%+v", e)
				}
				if changes := r.engine.Changes(); slices.ContainsFunc(changes, func(c dockertest.Call) bool { return strings.HasPrefix(c.Op, "Remove") }) {
					t.Errorf("something of the other's was removed: %v", changes)
				}
			})
		})
	}
}
