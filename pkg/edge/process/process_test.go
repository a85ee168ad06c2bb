package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRunning(t *testing.T) {
	me, ok := Look(os.Getpid())
	if !ok {
		t.Skip("needs /proc")
	}
	pid := os.Getpid()
	for content, want := range map[string]bool{
		fmt.Sprintf("%d %s\n", pid, me.Started):          true,
		fmt.Sprintf("%d %s 1790000000", pid, me.Started): true, // a marker, with its time
		fmt.Sprintf("%d %s9\n", pid, me.Started):         false,
		fmt.Sprintf("%d\n", pid):                         false,
		fmt.Sprintf("../%d %s\n", pid, me.Started):       false,
		fmt.Sprintf("-%d %s\n", pid, me.Started):         false,
		fmt.Sprintf("0 %s\n", me.Started):                false,
		fmt.Sprintf("4194305 %s\n", me.Started):          false, // more than Linux gives
		"":                                               false, "x 777": false,
	} {
		file := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Running(file); got != want {
			t.Errorf("%q: %t", content, got)
		}
	}
	if Running(filepath.Join(t.TempDir(), "none")) {
		t.Error("without a file something runs")
	}
}

// A process that ended is gone, also while nobody has reaped it.
func TestZombieDoesNotRun(t *testing.T) {
	if _, ok := Look(os.Getpid()); !ok {
		t.Skip("needs /proc")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stat, ok := Look(cmd.Process.Pid)
	if !ok || stat.Parent != os.Getpid() {
		t.Errorf("a child of this process is %+v, %t", stat, ok)
	}
	p := Process{cmd.Process.Pid, stat.Started}
	if !p.Runs() {
		t.Error("it runs")
	}
	if program, err := exec.LookPath("sleep"); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil && p.Program() != resolved {
			t.Errorf("it executes %q, want %q", p.Program(), resolved)
		}
	}
	cmd.Process.Kill()
	for deadline := time.Now().Add(10 * time.Second); p.Runs(); {
		if time.Now().After(deadline) {
			t.Fatal("a zombie runs")
		}
	}
	cmd.Wait()
}

func TestParseStat(t *testing.T) {
	line := "12 (a) b) %s 7 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"
	for state, runs := range map[string]bool{"S": true, "R": true, "D": true, "Z": false, "X": false} {
		want := Stat{}
		if runs {
			want = Stat{7, "4711"}
		}
		got, ok := parseStat(fmt.Appendf(nil, line, state))
		if diff := cmp.Diff(want, got); diff != "" || ok != runs {
			t.Errorf("%s: %t\n%s", state, ok, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1 2", "1 2 3\n", "12 4711\n", "", "-1 2", "x y"} {
		f.Add(seed, []byte("12 (a) S 1"))
	}
	f.Fuzz(func(t *testing.T, record string, stat []byte) {
		if p, err := Parse(record); err == nil && (p.PID < 1 || p.Started == "") {
			t.Errorf("accepted: %+v", p)
		}
		if s, ok := parseStat(stat); ok && s.Started == "" {
			t.Errorf("accepted: %+v", s)
		}
	})
}
