package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/deploy/node/internal/supervisor"
	"openshell.ai/openshell/pkg/nodeapi"
)

// recorder is told what the supervisor does and lets a test wait for it.
type recorder struct {
	mu      sync.Mutex
	seen    []nodeapi.Component
	reports []string
	changed chan struct{}
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{}, 1000)} }

func (r *recorder) Component(c nodeapi.Component) {
	r.mu.Lock()
	r.seen = append(r.seen, c)
	r.mu.Unlock()
	r.changed <- struct{}{}
}

func (r *recorder) Report(component string, line []byte) {
	r.mu.Lock()
	r.reports = append(r.reports, component+" "+string(line))
	r.mu.Unlock()
	r.changed <- struct{}{}
}

// wait returns when ok holds for what was seen.
func (r *recorder) wait(t *testing.T, ok func(seen []nodeapi.Component, reports []string) bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		done := ok(r.seen, r.reports)
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.changed:
		case <-deadline:
			t.Fatalf("it did not happen; seen: %+v %v", r.seen, r.reports)
		}
	}
}

func (r *recorder) states(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var states []string
	for _, c := range r.seen {
		if c.Name == name && (len(states) == 0 || states[len(states)-1] != c.State) {
			states = append(states, c.State)
		}
	}
	return states
}

func reached(name, state string) func([]nodeapi.Component, []string) bool {
	return func(seen []nodeapi.Component, _ []string) bool {
		for _, c := range seen {
			if c.Name == name && c.State == state {
				return true
			}
		}
		return false
	}
}

func shell(script string) (string, []string) { return "/bin/sh", []string{"-c", script} }

// The reaper collects every child of the process, so one supervisor serves the
// whole test.
func TestSupervisor(t *testing.T) {
	dir := t.TempDir()
	gate := filepath.Join(dir, "ready")
	log, seen := &bytes.Buffer{}, newRecorder()
	forever := `trap 'echo "$0 stopped" >> ` + dir + `/order; exit 0' TERM; while :; do sleep 1000 & wait; done`

	path, crash := shell(`echo "E0102 something is wrong"; echo "a last line"; exit 3`)
	sup := supervisor.New([]supervisor.Spec{
		{Name: "first", Path: path, Args: []string{"-c", forever, "first"}, Grace: 5 * time.Second,
			Ready: func(context.Context) error { _, err := os.Stat(gate); return err }},
		{Name: "second", Path: path, Args: []string{"-c", `echo '{"milestone":"etcd"}' >&3; ` + forever, "second"}, After: []string{"first"}, Grace: 5 * time.Second},
		{Name: "tidying", Path: path, Args: []string{"-c", `trap 'until grep -q first ` + dir + `/order; do sleep 0.01; done; echo "$0 stopped" >> ` + dir + `/order; exit 0' TERM; while :; do sleep 1000 & wait; done`, "tidying"},
			Grace: 5 * time.Second, Spent: func() bool { return true }},
		{Name: "stubborn", Path: path, Args: []string{"-c", `trap '' TERM; while :; do sleep 1000 & wait; done`}, Grace: 50 * time.Millisecond},
		{Name: "crashing", Path: path, Args: crash, Ready: func(context.Context) error { return errors.New("never") }},
		{Name: "awaiting", Path: path, Args: []string{"-c", "exit 0"}, Await: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{Name: "refused", Path: path, Args: []string{"-c", "exit 0"}, Await: func(context.Context) error { return errors.New("not today") }},
		{Name: "absent", Path: filepath.Join(dir, "no-such-program")},
	}, seen, log)
	sup.Start(context.Background())

	seen.wait(t, reached("first", "running"))
	if got := seen.states("second"); !cmp.Equal(got, []string{"waiting"}) {
		t.Errorf("second went through %v before first was ready", got)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seen.wait(t, reached("second", "ready"))
	seen.wait(t, func(_ []nodeapi.Component, reports []string) bool {
		return cmp.Equal(reports, []string{`second {"milestone":"etcd"}`})
	})
	// A crash is restarted, counted, and its reason is the line marked as an error.
	seen.wait(t, func(all []nodeapi.Component, _ []string) bool {
		for _, c := range all {
			if c.Name == "crashing" && c.Restarts >= 2 && c.LastExit == "exit code 3: E0102 something is wrong" {
				return true
			}
		}
		return false
	})
	seen.wait(t, func(all []nodeapi.Component, _ []string) bool {
		for _, c := range all {
			if c.Name == "absent" && strings.Contains(c.LastExit, "no such file") {
				return true
			}
		}
		return false
	})
	// What it is to wait for says no: as good as an end, and tried again.
	seen.wait(t, func(all []nodeapi.Component, _ []string) bool {
		for _, c := range all {
			if c.Name == "refused" && c.Restarts >= 2 && c.LastExit == "not today" {
				return true
			}
		}
		return false
	})

	began := time.Now()
	sup.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stop took %s", took)
	}
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("second stopped\nfirst stopped\ntidying stopped\n", string(order)); diff != "" {
		t.Error(diff)
	}
	if got := seen.states("awaiting"); !cmp.Equal(got, []string{"waiting", "stopped"}) {
		t.Errorf("what is still waited for went through %v", got)
	}
	if !strings.Contains(log.String(), "crashing | a last line\n") {
		t.Errorf("the log lacks the output with its component:\n%s", log)
	}
}
