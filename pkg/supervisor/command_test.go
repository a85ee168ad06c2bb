//go:build linux

package supervisor_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// runs counts how often the command of a rig has begun.
func runs(r *rig) int {
	b, _ := os.ReadFile(r.path("workspace/count"))
	return strings.Count(string(b), "\n")
}

func TestPitfall26FinishedCommandNeverRunsAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig){"stopped": func(r *rig) { r.stop() }, "killed": func(r *rig) { r.kill() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; echo x >> count; exit 7"}}
			r.start()
			first := r.status(sandboxapi.CommandExited)
			for range 3 {
				end(r)
				r.start()
				if diff := cmp.Diff(first, r.status(sandboxapi.CommandExited)); diff != "" {
					t.Error(diff)
				}
				got, err := r.attach(sandboxapi.Attach{Start: true}, nil)
				if diff := cmp.Diff(result{7, "out\n", "err\n"}, got); diff != "" || err != nil {
					t.Error(diff, err)
				}
			}
			if n := runs(r); n != 1 || first.Runs != 1 || first.ExitCode != 7 || first.StartedAt.IsZero() || first.EndedAt.Before(first.StartedAt) {
				t.Errorf("ran %d times: %+v", n, first)
			}
		})
	}
}

func TestPitfall26InterruptedCommandRunsAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig){"stopped": func(r *rig) { r.stop() }, "killed": func(r *rig) { r.kill() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			// Held at first only.
			r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo x >> count; echo run $(wc -l < count); exec sleep 1000"}, Hold: true}
			r.start()
			go r.attach(sandboxapi.Attach{Start: true}, nil)
			for n := 1; n <= 3; n++ {
				r.eventually("running again", func() bool { return runs(r) == n })
				if s := r.status(sandboxapi.CommandRunning); s.Runs != n {
					t.Errorf("%+v", s)
				}
				end(r)
				r.start()
			}
		})
	}
}

func TestNoRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig){"stopped": func(r *rig) { r.stop() }, "killed": func(r *rig) { r.kill() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo x >> count; exec sleep 1000"}, NoRestart: true}
			r.start()
			r.eventually("running", func() bool { return runs(r) == 1 })
			for range 2 {
				end(r)
				r.start()
				if s := r.status(sandboxapi.CommandInterrupted); s.Runs != 1 || s.Message == "" {
					t.Errorf("%+v", s)
				}
				_, err := r.attach(sandboxapi.Attach{Start: true}, nil)
				var refused *sandboxssh.Refused
				if !errors.As(err, &refused) || !strings.Contains(refused.Message, "interrupted") {
					t.Errorf("attached: %v", err)
				}
			}
			if n := runs(r); n != 1 {
				t.Errorf("ran %d times", n)
			}
		})
	}
}

func TestCommandThatEndsWhenToldToIsInterrupted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "trap 'exit 0' TERM; echo x >> count; while :; do sleep 0.02; done"}}
	r.start()
	r.eventually("running", func() bool { return runs(r) == 1 })
	r.stop()
	r.start()
	r.eventually("running again", func() bool { return runs(r) == 2 })
}

func TestHeldCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo x >> count; echo hi"}, Hold: true}
	r.start()
	r.stop()
	r.start() // it is held still
	if s := r.status(sandboxapi.CommandWaiting); s.Runs != 0 {
		t.Errorf("%+v", s)
	}
	early := make(chan result, 1)
	go func() { // one that attaches without a start waits for that of another
		got, err := r.attach(sandboxapi.Attach{}, nil)
		if err != nil {
			t.Error(err)
		}
		early <- got
	}()
	time.Sleep(50 * time.Millisecond)
	if n := runs(r); n != 0 {
		t.Fatal("it runs")
	}
	want := result{0, "hi\n", ""}
	for range 2 { // the second comes too late to start anything
		got, err := r.attach(sandboxapi.Attach{Start: true}, nil)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
	if diff := cmp.Diff(want, <-early); diff != "" {
		t.Error(diff)
	}
	if n := runs(r); n != 1 {
		t.Errorf("ran %d times", n)
	}
}

func TestCommandThatCannotRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		argv []string
		code int
		want string
	}{
		"not found":      {[]string{"nosuch"}, 127, "nosuch: command not found"},
		"not executable": {[]string{"/etc/passwd"}, 126, "/etc/passwd: permission denied"},
		"a signal":       {[]string{"sh", "-c", "kill -KILL $$"}, 137, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Command = &sandboxapi.Command{Argv: tc.argv, Hold: true}
			r.start()
			got, err := r.attach(sandboxapi.Attach{Start: true}, nil)
			if err != nil || got.Code != tc.code || strings.TrimSpace(got.Stderr) != tc.want {
				t.Errorf("%+v, %v", got, err)
			}
			if s := r.status(sandboxapi.CommandExited); s.ExitCode != tc.code || s.Message != tc.want {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestDamagedRecordNeverRunsTheCommand(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"empty":        func(path string) error { return os.Truncate(path, 0) },
		"cut":          func(path string) error { return os.Truncate(path, 20) },
		"zeros":        func(path string) error { return os.WriteFile(path, make([]byte, 200), 0o600) },
		"other JSON":   func(path string) error { return os.WriteFile(path, []byte(`{"crc32":0,"status":{}}`), 0o600) },
		"a bit":        flipBit,
		"lost":         os.Remove,
		"unreadable":   func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"never ending": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("command.json", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo x >> count; echo precious"}}
			r.start()
			r.status(sandboxapi.CommandExited)
			r.kill()
			if err := damage(r.path("state/command.json")); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r.start()
				s := r.status(sandboxapi.CommandInterrupted)
				if s.Message == "" {
					t.Errorf("%+v", s)
				}
				// The sandbox can be used, and the output is not lost.
				if lines := r.logs(sandboxapi.LogQuery{Sources: []string{sandboxapi.LogCommand}}); len(lines) != 1 || lines[0].Message != "precious" {
					t.Errorf("%+v", lines)
				}
				r.stop()
			}
			if n := runs(r); n != 1 {
				t.Errorf("ran %d times", n)
			}
		})
	}
}

func flipBit(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	i := strings.Index(string(b), `"exitCode":0`)
	b[i+len(`"exitCode":0`)-1] ^= 1
	return os.WriteFile(path, b, 0o600)
}

func TestEndThatIsRecordedLateIsToldWithoutReserve(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo x >> count; until test -e go; do sleep 0.02; done; exit 4"}}
	r.start()
	r.eventually("running", func() bool { return runs(r) == 1 })
	record := r.path("state/command.json")
	if err := errors.Join(os.Remove(record), os.Mkdir(record, 0o700)); err != nil {
		t.Fatal(err)
	}
	seen := make(chan sandboxapi.CommandStatus, 10)
	go r.connect().Status(t.Context(), func(s sandboxapi.Status) { seen <- *s.Command })
	next := func() sandboxapi.CommandStatus {
		t.Helper()
		select {
		case s := <-seen:
			return s
		case <-time.After(time.Minute):
			t.Fatal("no status")
		}
		panic("unreachable")
	}
	if s := next(); s.State != sandboxapi.CommandRunning {
		t.Fatalf("%+v", s)
	}
	r.sh("touch go")
	if s := next(); s.State != sandboxapi.CommandExited || s.ExitCode != 4 || !strings.Contains(s.Message, "could not be recorded") {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	if s := next(); s.State != sandboxapi.CommandExited || s.ExitCode != 4 || s.Message != "" {
		t.Errorf("%+v", s)
	}
	r.kill()
	r.start()
	if s := r.status(sandboxapi.CommandExited); s.ExitCode != 4 || s.Message != "" || runs(r) != 1 {
		t.Errorf("%+v after %d runs", s, runs(r))
	}
}

func TestStatusTellsEveryChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "until test -e go; do sleep 0.02; done; exit 4"}, Hold: true}
	r.start()
	seen := make(chan sandboxapi.Status, 10)
	var last sandboxapi.CommandStatus
	go r.connect().Status(t.Context(), func(s sandboxapi.Status) {
		if s.Command != nil && *s.Command == last {
			return // a client came or went
		}
		seen <- s
		if s.Command != nil {
			last = *s.Command
		}
	})
	next := func() sandboxapi.CommandStatus {
		t.Helper()
		select {
		case s := <-seen:
			if s.Version == "" || s.Command == nil {
				t.Fatalf("%+v", s)
			}
			return *s.Command
		case <-time.After(10 * time.Second):
			t.Fatal("no status")
		}
		panic("unreachable")
	}
	if s := next(); s.State != sandboxapi.CommandWaiting {
		t.Errorf("%+v", s)
	}
	go r.attach(sandboxapi.Attach{Start: true}, nil)
	if s := next(); s.State != sandboxapi.CommandRunning || s.Runs != 1 || s.StartedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	r.sh("touch go")
	if s := next(); s.State != sandboxapi.CommandExited || s.ExitCode != 4 || s.EndedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	// It was recorded before it was told.
	r.kill()
	r.start()
	r.status(sandboxapi.CommandExited)
}

func TestSandboxWithoutACommand(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	seen := make(chan sandboxapi.Status, 1)
	go r.connect().Status(t.Context(), func(s sandboxapi.Status) { seen <- s })
	if s := <-seen; s.Command != nil {
		t.Errorf("%+v", s)
	}
	var refused *sandboxssh.Refused
	if _, err := r.attach(sandboxapi.Attach{}, nil); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}
