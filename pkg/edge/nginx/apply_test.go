package nginx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/process"
)

// installed are settings of a directory of the test's, in which a shell script
// stands in for nginx.
func installed(t *testing.T, program string) Settings {
	t.Helper()
	dir := t.TempDir()
	s := testSettings()
	s.Run, s.Live, s.Log, s.Program = filepath.Join(dir, "run"), filepath.Join(dir, "conf.d", "live.conf"), filepath.Join(dir, "nginx.log"), filepath.Join(dir, "nginx")
	for _, made := range []string{s.Run, filepath.Dir(s.Live)} {
		if err := os.Mkdir(made, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	setProgram(t, s, program)
	return s
}

func setProgram(t *testing.T, s Settings, program string) {
	t.Helper()
	if err := os.WriteFile(s.Program, []byte("#!/bin/sh\n"+program+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// tree is every file below a directory, and what is in it.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(data)
	}
	return files
}

// The candidate is what nginx is asked about, not what is live.
func TestBase(t *testing.T) {
	s := installed(t, `for main; do :; done
grep -q 'include .*/conf.d/.live.conf.next;' "$main" && test -s "$(dirname "$0")/conf.d/.live.conf.next" && ! test -e "$(dirname "$0")/conf.d/live.conf"`)
	config, err := Render(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Result{{Changed: true}, {}} {
		if got, err := Base(t.Context(), s); err != nil || got != want {
			t.Errorf("time %d: %+v, %v", i, got, err)
		}
		if diff := cmp.Diff(map[string]string{"live.conf": config.Live}, tree(t, filepath.Dir(s.Live))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]string{"nginx.conf": config.Main, "nginx.lock": ""}, tree(t, s.Run)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestARefusedCandidateChangesNothing(t *testing.T) {
	s := installed(t, "exit 0")
	if _, err := Base(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	live, run := tree(t, filepath.Dir(s.Live)), tree(t, s.Run)
	setProgram(t, s, `echo 'nginx: [emerg] bad "port" in file:3' >&2; exit 1`)
	s.Port++
	_, err := Base(t.Context(), s)
	if err == nil || err.Error() != `nginx does not accept the configuration: bad "port" in file:3` {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff(live, tree(t, filepath.Dir(s.Live))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(run, tree(t, s.Run)); diff != "" {
		t.Error(diff)
	}
}

func TestUpdateNeedsNginx(t *testing.T) {
	s := installed(t, "exit 0")
	services := []edge.Service{service("web", "172.16.1.2", 80)}
	started, _ := process.Look(os.Getpid())
	for name, record := range map[string]string{
		"another process": fmt.Sprintf("%d 1\n", os.Getpid()), "none": "4194305 1\n", "no record": "",
	} {
		if err := os.WriteFile(recordPath(s), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Update(t.Context(), s, services); err == nil || errors.Is(err, errNotRunning) != (record != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(recordPath(s), fmt.Appendf(nil, "%d %s\n", os.Getpid(), started.Started), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, err := recorded(recordPath(s)); err != nil || pid != os.Getpid() {
		t.Errorf("this process is not recognised: %d, %v", pid, err)
	}
	if _, err := os.Stat(s.Live); err == nil {
		t.Error("there is a live file")
	}
}

func TestFirstEmergency(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "2026/01/02 03:04:05 [warn] 1#1: x\n": "",
		"nginx: [warn] x\nnginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)\nnginx: [emerg] y": "bind() to 0.0.0.0:80 failed (98: Address already in use)",
		"2026/01/02 03:04:05 [emerg] 12#12: host not found in upstream\n":                                            "host not found in upstream",
	} {
		if got := firstEmergency([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
