package edgecli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mine is the record of this process.
func mine(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are told apart by /proc")
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return fmt.Sprintf("%d %s\n", os.Getpid(), fields[19])
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFollowReset(t *testing.T) {
	const running = `{"phase":"stop-vpn","result":"","error":""}`
	tests := map[string]struct {
		state, worker string
		want, out     string
	}{
		"none":    {want: "no reset"},
		"torn":    {state: "{", want: "state of the reset"},
		"ok":      {state: `{"phase":"ended", "result":"ok"}`, out: `{"phase":"ended","result":"ok"}` + "\n"},
		"error":   {state: `{"phase":"ended","result":"error","error":"start-vpn: no"}`, want: "start-vpn: no", out: `{"phase":"ended","result":"error","error":"start-vpn: no"}` + "\n"},
		"dead":    {state: running, worker: "999999999 1", want: "died in phase stop-vpn", out: running + "\n"},
		"endless": {state: running, worker: mine(t), want: "too long", out: running + "\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if test.state != "" {
				put(t, filepath.Join(dir, "reset.json"), test.state)
			}
			put(t, filepath.Join(dir, "reset.pid"), test.worker)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("too long"))
			defer cancel()
			var out bytes.Buffer
			err := followReset(ctx, &out, dir)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if diff := cmp.Diff(test.out, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each phase is a line, until there is a result.
func TestFollowResetToItsEnd(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "reset.pid"), mine(t))
	put(t, filepath.Join(dir, "reset.json"), `{"phase":"a"}`)
	next := []string{`{"phase":"b"}`, `{"phase":"c","result":"ok"}`}
	var out bytes.Buffer
	w := writerFunc(func(line []byte) (int, error) {
		out.Write(line)
		if len(next) > 0 {
			put(t, filepath.Join(dir, "reset.json"), next[0])
			next = next[1:]
		}
		return len(line), nil
	})
	if err := followReset(t.Context(), w, dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("{\"phase\":\"a\"}\n{\"phase\":\"b\"}\n{\"phase\":\"c\",\"result\":\"ok\"}\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAwaitApp(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	answer, status := `{"build":"x"}`, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(answer))
	}))
	defer server.Close()
	me, dead := mine(t), "999999999 1"
	tests := map[string]struct {
		record string
		app    awaited
		want   string
	}{
		"answers":                  {record: me},
		"answers as the program":   {record: me, app: awaited{program: self, once: true}},
		"is another program":       {record: me, app: awaited{program: "/bin/other"}, want: "too long"},
		"not recorded":             {want: "too long"},
		"dead, to be started":      {record: dead, want: "too long"},
		"dead":                     {record: dead, app: awaited{once: true}, want: "ended before it answered"},
		"dead is the one before":   {record: dead, app: awaited{once: true, after: dead + "\n"}, want: "too long"},
		"alive is the one before":  {record: me, app: awaited{after: me}, want: "too long"},
		"nothing serves":           {record: me, app: awaited{url: "http://127.0.0.1:1"}, want: "too long"},
		"something else was there": {record: "999999999 2", app: awaited{once: true, after: dead}, want: "ended before it answered"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			app := test.app
			app.pidFile = filepath.Join(t.TempDir(), "app.pid")
			put(t, app.pidFile, test.record)
			if app.url == "" {
				app.url = server.URL
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("too long"))
			defer cancel()
			if err := app.await(ctx); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	status = http.StatusBadGateway
	if err := ping(t.Context(), server.URL); err == nil {
		t.Error("502 was taken for an answer")
	}
	answer, status = "not json", http.StatusOK
	if err := ping(t.Context(), server.URL); err == nil {
		t.Error("text was taken for an answer")
	}
}
