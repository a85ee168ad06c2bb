package script

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runner runs body in place of main.sh.
func runner(t *testing.T, body string) Runner {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.sh"), []byte("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return Runner{Dir: dir, Limit: 20 * time.Second}
}

func TestRunPassesNameAndInput(t *testing.T) {
	r := runner(t, `printf '%s\n' "$@" >args; cat >input; echo '{"status":"ok","reloaded":true}'`)
	answer, err := r.Run(t.Context(), UpdateNginxLocations, "web 172.16.1.2 80\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"status":"ok","reloaded":true}`, string(answer.Raw)); diff != "" {
		t.Error(diff)
	}
	for file, want := range map[string]string{"args": "-r\nbin/update-nginx-locations.sh\n", "input": "web 172.16.1.2 80\n"} {
		got, err := os.ReadFile(filepath.Join(r.Dir, file))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", file, got, err, want)
		}
	}
}

func TestRunFailures(t *testing.T) {
	for name, c := range map[string]struct{ body, reason, stderr string }{
		"refused":         {`echo why >&2; echo '{"status":"error","error":"line 2: port"}'; exit 1`, "line 2: port", "why"},
		"no answer":       {`echo boom >&2; exit 3`, "exit status 3, without an answer in JSON", "boom"},
		"empty":           {``, "its answer is not a JSON object: EOF", ""},
		"text":            {`echo done`, "its answer is not a JSON object: invalid character 'd' looking for beginning of value", ""},
		"two objects":     {`echo '{"status":"ok"}{"status":"ok"}'`, "its answer is more than one JSON object", ""},
		"array":           {`echo '[]'`, "its answer is not an object with a status: json: cannot unmarshal array into Go value of type script.outcome", ""},
		"other status":    {`echo '{"status":"fine"}'`, `its answer has status "fine" and error "", want "ok", or "error" and a reason`, ""},
		"error, no words": {`echo '{"status":"error"}'; exit 1`, `exit status 1, without an answer in JSON`, ""},
		"ok but exit":     {`echo '{"status":"ok"}'; exit 1`, "answers ok, but: exit status 1", ""},
		"long answer":     {`head -c 1100000 /dev/zero | tr '\0' ' '; echo '{"status":"ok"}'`, "its answer is longer than 1048576 bytes", ""},
		"long stderr":     {`head -c 100000 /dev/zero | tr '\0' x >&2; echo end >&2; echo '{"status":"error","error":"no"}'; exit 1`, "no", strings.Repeat("x", maxStderr-4) + "end"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runner(t, c.body).Run(t.Context(), UpdateNginxLocations, "")
			var failure *Error
			if !errors.As(err, &failure) {
				t.Fatalf("error is %v, want an *Error", err)
			}
			if diff := cmp.Diff([]string{c.reason, c.stderr}, []string{failure.Reason, failure.Stderr}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRunRefusesOtherScripts(t *testing.T) {
	r := runner(t, `touch ran; echo '{"status":"ok"}'`)
	if _, err := r.Run(t.Context(), "../lib/stop-vpn", ""); err == nil {
		t.Error("another script ran")
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "ran")); err == nil {
		t.Error("main.sh ran")
	}
}

func TestRunWithoutScripts(t *testing.T) {
	_, err := Runner{Dir: "/nonexistent", Limit: time.Second}.Run(t.Context(), ResetGateway, "")
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "script reset-gateway: cannot be run") {
		t.Errorf("error is %v", err)
	}
}

func TestRunEndsTheWholeGroup(t *testing.T) {
	r := runner(t, `sleep 600 & echo $! >child; wait`)
	r.Limit = 300 * time.Millisecond
	_, err := r.Run(t.Context(), UpdateNginxLocations, "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v, want that of the limit", err)
	}
	data, err := os.ReadFile(filepath.Join(r.Dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); running(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what the script started still runs")
		}
	}
}

// running is false for what only waits to be reaped.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestRunDoesNotWaitForWhatDetached(t *testing.T) {
	r := runner(t, `setsid sleep 30 & echo $! >child; echo '{"status":"ok"}'`)
	began := time.Now()
	if _, err := r.Run(t.Context(), ResetGateway, ""); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	data, _ := os.ReadFile(filepath.Join(r.Dir, "child"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	if pid == 0 || !running(pid) {
		t.Error("what detached was ended")
	} else {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"status":"ok"}`, `{"status":"error","error":"x"}`, `[]`, `{"status":1}`, ``, `{}{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := decode(data)
		if err == nil && answer.Status != "ok" && (answer.Status != "error" || answer.Error == "") {
			t.Errorf("%q was taken: %+v", data, answer)
		}
	})
}
