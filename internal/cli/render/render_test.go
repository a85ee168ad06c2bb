package render

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// boot is a start with everything a renderer has to show.
var boot = []bootstrap.Event{
	{At: at(0), Kind: bootstrap.StepStarted, Step: "image"},
	{At: at(10), Kind: bootstrap.StepDone, Step: "image", Elapsed: 10 * time.Millisecond},
	{At: at(10), Kind: bootstrap.Note, Message: "172.20.0.0/16 is taken, using 172.21.0.0/16"},
	{At: at(10), Kind: bootstrap.StepStarted, Step: "create container", Cause: "volume only"},
	{At: at(300), Kind: bootstrap.StepDone, Step: "create container", Changed: true, Elapsed: 290 * time.Millisecond},
	{At: at(300), Kind: bootstrap.StepStarted, Step: "wait for the node"},
	{At: at(1300), Kind: bootstrap.StepProgress, Step: "wait for the node", Message: "etcd"},
	{At: at(2300), Kind: bootstrap.StepProgress, Step: "wait for the node", Message: "a milestone with a description far too long for the terminal it is shown on"},
	{At: at(2400), Kind: bootstrap.Warning, Message: "1 GiB is left on\nthe disk\x1b[2J"},
	{At: at(2500), Kind: bootstrap.StepDone, Step: "wait for the node", Changed: true, Elapsed: 2200 * time.Millisecond},
	{At: at(2500), Kind: bootstrap.StepStarted, Step: "endpoint"},
	{At: at(75500), Kind: bootstrap.StepFailed, Step: "endpoint", Message: "connection refused", Elapsed: 73 * time.Second},
}

func TestProgressGolden(t *testing.T) {
	for name, start := range map[string]func(*bytes.Buffer, *time.Time) Progress{
		"plain": func(w *bytes.Buffer, _ *time.Time) Progress { return NewPlain(w) },
		"json":  func(w *bytes.Buffer, _ *time.Time) Progress { return NewJSON(w) },
		"live":  liveOn(false),
		"color": liveOn(true),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			clock := epoch
			progress := start(&out, &clock)
			for _, event := range boot {
				clock = event.At
				progress.Event(event)
			}
			progress.Close()
			got := out.String()
			if name == "live" || name == "color" {
				got = strings.ReplaceAll(got, "\x1b", "<esc>")
			}
			golden(t, name+".txt", got)
		})
	}
}

func liveOn(color bool) func(*bytes.Buffer, *time.Time) Progress {
	return func(w *bytes.Buffer, clock *time.Time) Progress {
		return NewLive(w, LiveOptions{Color: color, Width: func() int { return 48 }, Now: func() time.Time { return *clock }})
	}
}

// TestLiveScreen replays what was written on a screen of its own: what a user
// is left with, whatever was redrawn meanwhile.
func TestLiveScreen(t *testing.T) {
	var out bytes.Buffer
	clock := epoch
	progress := liveOn(false)(&out, &clock)
	for _, event := range boot {
		clock = event.At
		progress.Event(event)
	}
	progress.Event(bootstrap.Event{Kind: bootstrap.StepStarted, Step: "never ends"})
	progress.Close()
	want := []string{
		"· 172.20.0.0/16 is taken, using 172.21.0.0/16",
		"✓ create container  volume only  0.3s",
		"! 1 GiB is left on the disk[2J",
		"✓ wait for the node  2.2s",
		"✗ endpoint  connection refused  1m13s",
	}
	if diff := cmp.Diff(want, screen(t, out.String())); diff != "" {
		t.Error(diff)
	}
}

// screen applies the three controls the renderer uses.
func screen(t *testing.T, written string) []string {
	var lines []string
	row := 0
	for written != "" {
		if rest, ok := strings.CutPrefix(written, "\x1b[A"); ok {
			row, written = row-1, rest
			continue
		}
		var n int
		if _, err := fmt.Sscanf(written, "\x1b[%dA", &n); err == nil {
			row, written = row-n, written[strings.IndexByte(written, 'A')+1:]
			continue
		}
		if rest, ok := strings.CutPrefix(written, "\r\x1b[J"); ok {
			lines, written = lines[:row], rest
			continue
		}
		line, rest, ok := strings.Cut(written, "\n")
		if !ok || strings.Contains(line, "\x1b") {
			t.Fatalf("unexpected output %q", written)
		}
		lines = append(lines[:row], line)
		row, written = row+1, rest
	}
	return lines
}

func TestLiveTicksAndEnds(t *testing.T) {
	drawn := make(chan struct{}, 100)
	progress := NewLive(writer(func(p []byte) {
		select {
		case drawn <- struct{}{}:
		default:
		}
	}), LiveOptions{Width: func() int { return 40 }, Now: time.Now, Tick: time.Millisecond})
	progress.Event(bootstrap.Event{Kind: bootstrap.StepStarted, Step: "wait"})
	for range 5 {
		<-drawn
	}
	progress.Close()
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestErrors(t *testing.T) {
	port := fault.New(fault.PortInUse, fault.ExitConflict, "port 8080 is taken").
		Hint("choose another: `openshell gateway start --port 8081`").Because(errors.New("bind:\naddress in use"))
	for _, c := range []struct {
		name string
		err  error
	}{
		{"fault", port},
		{"wrapped", fmt.Errorf("gateway work: %w", port)},
		{"foreign", context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			Error(&out, false, c.err)
			ErrorJSON(&out, c.err)
			golden(t, "error-"+c.name+".txt", out.String())
		})
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 340 * time.Millisecond: "0.3s", 12*time.Second + 400*time.Millisecond: "12s", 59*time.Second + 900*time.Millisecond: "1m00s", 185 * time.Second: "3m05s", 2 * time.Hour: "120m00s",
	} {
		if got := Seconds(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestTableAligns(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, []string{"A", "B"}, [][]string{{"ü", "x"}, {"long", ""}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("A     B\nü     x\nlong\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
