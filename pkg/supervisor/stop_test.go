//go:build linux

package supervisor_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

func TestPitfall30StopEndsInTime(t *testing.T) {
	t.Parallel()
	const loop = `while :; do sleep 0.05; done`
	for name, tc := range map[string]struct {
		script      string // of an exec that is running
		tty         bool
		least, most time.Duration
	}{
		"nothing runs":             {"", false, 0, time.Second},
		"it obeys":                 {"echo > run; exec sleep 100", false, 0, 2 * time.Second},
		"it cleans up":             {"trap 'sleep 0.3; echo > cleaned; exit' TERM; echo > run; " + loop, false, 300 * time.Millisecond, 2 * time.Second},
		"shell on a terminal":      {"echo > run; exec bash --norc -i", true, 0, 2 * time.Second},
		"a daemon":                 {"setsid sh -c 'trap \"echo > cleaned; exit\" TERM; echo > run; " + loop + "' & exit", false, 0, 2 * time.Second},
		"stopped":                  {"trap 'echo > cleaned; exit' TERM; echo > run; kill -STOP $$; " + loop, false, 0, 2 * time.Second},
		"it does not want to":      {"trap '' TERM HUP INT; echo > run; " + loop, false, 4 * time.Second, 8 * time.Second},
		"nor does what it started": {"(trap '' TERM; setsid sh -c 'echo > run; " + loop + "') & exit", false, 4 * time.Second, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t).start()
			if tc.script != "" {
				e := sandboxapi.Exec{Argv: []string{"sh", "-c", tc.script}}
				if tc.tty {
					e.TTY = &sandboxapi.TTY{Term: "vt100", Cols: 80, Rows: 24}
				}
				c := r.connect()
				stdin, _ := r.pipe()
				go c.Exec(t.Context(), e, sandboxssh.Streams{Stdin: stdin})
				r.eventually("running", r.has("run"))
			}
			begin := time.Now()
			if code := r.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(begin); took < tc.least || took > tc.most {
				t.Errorf("it took %v", took)
			}
			if strings.Contains(tc.script, "cleaned") && !r.has("cleaned")() {
				t.Error("it could not clean up")
			}
		})
	}
}

// Who listens hears how the command fared, though the supervisor ends with it.
func TestLastWordArrives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo > run; exec sleep 1000"}}
	r.start()
	r.eventually("running", r.has("run"))
	var last [4]sandboxapi.Status
	var all sync.WaitGroup
	heard := make(chan struct{}, 10*len(last))
	for i := range last {
		c := r.connect()
		all.Go(func() {
			c.Status(t.Context(), func(s sandboxapi.Status) {
				last[i] = s
				heard <- struct{}{}
			})
		})
	}
	for range last {
		<-heard
	}
	r.stop()
	all.Wait()
	for _, s := range last {
		if s.Command == nil || s.Command.State != sandboxapi.CommandInterrupted || s.Command.EndedAt.IsZero() {
			t.Errorf("%+v", s.Command)
		}
	}
}

func TestOrphansAreReapedAndNoStatusIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	c := r.connect()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				code := (i*20 + j) % 100
				// Each leaves orphans that end before, with and after it.
				script := "(exit 9 &) ; (sleep 0.01 &) ; (sleep 0.1 >/dev/null 2>&1 &) ; exit " + strings.TrimSpace(string(rune('0'+code/10))+string(rune('0'+code%10)))
				got, err := c.Exec(ctx, sandboxapi.Exec{Argv: []string{"bash", "-c", script}}, sandboxssh.Streams{})
				if got != code || err != nil {
					t.Errorf("code %d, not %d: %v", got, code, err)
				}
			}
		})
	}
	all.Wait()
	r.eventually("no process but the supervisor and this one", func() bool {
		return strings.TrimSpace(r.sh(`for s in /proc/[0-9]*/stat; do read -r line < $s && echo "$line"; done 2>/dev/null | grep -vc '^1 '`).Stdout) <= "3"
	})
	r.eventually("no zombie", func() bool { // that of a moment ago may be there for another moment
		return r.sh(`cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z'`).Stdout == "0\n"
	})
}

func TestUserCannotEndTheSupervisorByItsChildren(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	// A flood of orphans, and of signals to everybody that may be signalled.
	r.sh(`for i in $(seq 300); do (true &); done; kill -HUP -1`)
	if got := r.sh("echo alive"); got.Stdout != "alive\n" {
		t.Errorf("%+v", got)
	}
}
