package bootstrap

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

func TestPitfall15And17CrashLoopIsSeenInSeconds(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.crash = true
		began := time.Now()
		e := r.mustFail(StartOptions{}, fault.NodeFailed)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if !strings.Contains(e.Error(), "disk quota exceeded") {
			t.Errorf("%v", e)
		}
		r.savedLog(e, "disk quota exceeded", "restarts", "failing step: wait until healthy")
	})
}

func TestCrashLoopingGetsOneMoreAttempt(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.Log(resource, "etcd: disk quota exceeded")
		r.engine.SetState(resource, docker.StateRestarting)
		r.mustStart(StartOptions{})
		if !r.said("disk quota exceeded") {
			t.Errorf("the reason was not said: %+v", r.events)
		}
	})
}

func TestPitfall16SlowIsNotFailed(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.bootPause = 110 * time.Second
		r.sick = errors.New("503")
		go func() {
			time.Sleep(time.Duration(len(fullBoot)) * r.bootPause)
			r.mu.Lock()
			r.sick = nil
			r.mu.Unlock()
		}()
		res := r.mustStart(StartOptions{})
		if res.Elapsed < 15*time.Minute {
			t.Errorf("it took only %s", res.Elapsed)
		}
	})
}

func TestPitfall16ASecondBootIsProgressAgain(t *testing.T) {
	inTime(t, func(t *testing.T, _ *rig) {
		p := newPatience(0)
		boots := []nodeapi.Status{{BootedAt: noon}, {BootedAt: noon.Add(time.Minute)}}
		for _, s := range boots {
			s.Milestones = []nodeapi.Reached{{Name: nodeapi.Mounts}}
			for _, want := range []bool{true, false} {
				if p.hear(s); p.progressed != want {
					t.Errorf("boot at %s: progress %t, want %t", s.BootedAt, p.progressed, want)
				}
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestPitfall16StuckBootIsDiagnosedAtTheIdleLimit(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.boot, r.sick = fullBoot[:3], errors.New("connection refused")
		began := time.Now()
		e := r.mustFail(StartOptions{}, fault.IdleTimeout)
		if took := time.Since(began); took < idleLimit || took > idleLimit+10*time.Second {
			t.Errorf("it took %s", took)
		}
		if !strings.Contains(e.Error(), "etcd") || e.Exit != fault.ExitTimeout {
			t.Errorf("%v", e)
		}
		if c, _ := r.container(); c.State != docker.StateRunning {
			t.Errorf("container is %s", c.State)
		}
		// It was left running, never healthy: the next start joins the wait.
		r.boot, r.sick = fullBoot, nil
		if res := r.mustStart(StartOptions{}); slices.Contains(res.Changed, string(RemoveVolume)) {
			t.Errorf("%+v", res)
		}
		if r.settings().Initialized == nil {
			t.Error("not marked initialized")
		}
	})
}

func TestTimeoutLeavesEverythingRunning(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.bootPause, r.sick = 10*time.Second, errors.New("503")
		e := r.mustFail(StartOptions{Timeout: 30 * time.Second}, fault.Timeout)
		if c, _ := r.container(); c.State != docker.StateRunning || e.Exit != fault.ExitTimeout {
			t.Errorf("container is %s, %+v", c.State, e)
		}
	})
}

func TestPitfall22SkewIsNamed(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.nodeNow = func() time.Time { return time.Now().Add(-time.Hour) }
		res, err := r.start(StartOptions{})
		if err != nil || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "1h0m0s") {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

func TestStartWaitsForARemovalAndGoesOn(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.identity()
		r.engine.SetState(resource, docker.StateRemoving)
		go func() {
			time.Sleep(3 * time.Second)
			r.engine.Remove(resource)
		}()
		if res := r.mustStart(StartOptions{}); res.Was != Removing || r.identity() != before {
			t.Errorf("%+v, identity %q", res, r.identity())
		}
	})
}

func TestRemovalThatNeverEndsIsAFailure(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.engine.SetState(resource, docker.StateRemoving)
		if e := r.mustFail(StartOptions{}, fault.DockerFailed); slices.ContainsFunc(e.Hints, func(h string) bool { return strings.Contains(h, "destroy") }) {
			t.Errorf("pitfall 25: hints %q", e.Hints)
		}
	})
}

func TestPitfall12AfterARotationTheNewServerAnswersBeforeStartEnds(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.rolled = true
		r.onRoll = func() {
			r.sick = errors.New("the old pod is gone, the new one not up yet")
			go func() {
				time.Sleep(4 * time.Second)
				r.mu.Lock()
				r.sick = nil
				r.mu.Unlock()
			}()
		}
		if res := r.mustStart(StartOptions{}); res.Action != "repair" || res.Elapsed < 4*time.Second {
			t.Errorf("%+v", res)
		}
	})
}

func TestPitfall16ASlowRestartOfTheServerIsNotFailed(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.stop()
		r.rolled, r.onRoll, r.rollout = true, func() {}, 4*time.Minute
		r.mustStart(StartOptions{})
		r.stop()
		r.rollout = time.Hour
		e := r.mustFail(StartOptions{}, fault.IdleTimeout)
		if c, _ := r.container(); c.State != docker.StateRunning || e.Exit != fault.ExitTimeout {
			t.Errorf("container is %s, %+v", c.State, e)
		}
	})
}

func TestDegradedIsDiagnosed(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.sick = errors.New("503")
		go func() {
			time.Sleep(5 * time.Second)
			r.mu.Lock()
			r.sick = nil
			r.mu.Unlock()
		}()
		r.mustStart(StartOptions{})
		if !r.said("openshell-0 is not ready") {
			t.Errorf("%+v", r.events)
		}
	})
}

func TestNodeVerdicts(t *testing.T) {
	for kind, want := range map[string]struct {
		id   fault.ID
		exit fault.Exit
	}{
		nodeapi.FailureStateUnreadable: {fault.StateDamaged, fault.ExitDecision},
		nodeapi.FailureSettings:        {fault.StateDamaged, fault.ExitDecision},
		nodeapi.FailureDiskFull:        {fault.HostUnfit, fault.ExitFailure},
		nodeapi.FailureHost:            {fault.HostUnfit, fault.ExitFailure},
		"something new":                {fault.NodeFailed, fault.ExitFailure},
	} {
		err := nodeFailure(testName, &nodeapi.Failure{ID: kind, Message: "the reason"})
		if !fault.HasID(err, want.id) || fault.ExitOf(err) != want.exit || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("%s: %v, exit %d", kind, err, fault.ExitOf(err))
		}
	}
}
