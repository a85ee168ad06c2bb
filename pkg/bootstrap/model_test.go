package bootstrap

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"openshell.ai/openshell/pkg/bootstrap/model"
	"openshell.ai/openshell/pkg/fault"
)

// Whatever happens to a gateway, and whatever is done about it, it is called
// what the table of the contract calls it, every command ends as the table says,
// and what has to survive does. The sequences are the same every time, so that a
// change is judged by itself. Others, and more: -rapid.seed=7 -rapid.checks=10000.
func TestModel(t *testing.T) {
	if seed := flag.Lookup("rapid.seed").Value; seed.String() == "0" {
		if err := seed.Set("487"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // every file of the host is synced, and a disk takes its time
	}
	from := map[string]int{}
	steps := 0
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(timeless{t}, func(rt *rapid.T) {
			s := newSubject(t)
			if rapid.IntRange(0, 9).Draw(rt, "from nothing") > 0 {
				s.step(rt, model.Act{Name: model.Start})
			}
			for range rapid.IntRange(10, 50).Draw(rt, "steps") {
				from[s.world.Word()]++
				steps++
				s.step(rt, drawAct(rt, s.world))
			}
		})
	})
	t.Logf("%d steps, from %v", steps, from)
	for _, word := range []Word{Absent, Suspended, Unborn, Stopped, Broken, Running, DegradedWord, CrashLooping, Paused, Removing, Foreign, Unknown} {
		if from[string(word)] == 0 {
			t.Errorf("no step began at a gateway that is %s", word)
		}
	}
}

// timeless has no deadline: one cannot be asked for where time is made up.
type timeless struct{ testing.TB }

// drawAct chooses what comes next: as often a command as something that happens.
func drawAct(rt *rapid.T, w *model.World) model.Act {
	if rapid.Bool().Draw(rt, "an event") {
		return rapid.SampledFrom(w.Events()).Draw(rt, "event")
	}
	act := rapid.SampledFrom(w.Commands()).Draw(rt, "command")
	if w.Cuttable(act) && rapid.IntRange(0, 3).Draw(rt, "cut short") == 0 {
		act.Cut = rapid.IntRange(1, 40).Draw(rt, "at call")
		act.Kind = rapid.SampledFrom([]string{"error", "lost answer", "death"}).Draw(rt, "by")
	}
	return act
}

// step lets the act happen to the model and to the gateway, and compares.
func (s *subject) step(rt *rapid.T, act model.Act) {
	s.told = append(s.told, act.String())
	sayings := func() string { return strings.Join(s.told, "\n") }
	want := s.world.Do(act)
	if act.Cut > 0 {
		if lost := s.cutShort(act); len(lost) > 0 {
			rt.Fatalf("%s\nwhen it was cut short, lost: %v", sayings(), lost)
		}
	}
	got := s.do(act)
	if want != nil && !slices.Contains(want, fault.ExitOf(got)) {
		rt.Fatalf("%s\nended with %d (%v), the contract says %v", sayings(), fault.ExitOf(got), got, want)
	}
	facts := s.world.Facts()
	if diff := cmp.Diff(facts, s.facts(facts), cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("%s\nand then (-contract +product):\n%s", sayings(), diff)
	}
	s.engine.ResetCalls()
	time.Sleep(time.Second) // a state that is set aside is named by the time
}
