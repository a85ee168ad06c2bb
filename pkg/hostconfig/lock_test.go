package hostconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/fault"
)

func TestPitfall4SecondWaitsAndIsToldByWhom(t *testing.T) {
	root := t.TempDir()
	first, second := New(root), New(root)
	first.command = "openshell gateway start"
	unlock, err := first.Lock(context.Background(), "a", func(string) { t.Error("waited for a free lock") })
	must(t, err)

	told := make(chan string, 1)
	got := make(chan error, 1)
	go func() {
		unlock, err := second.Lock(context.Background(), "a", func(by string) { told <- by })
		if err == nil {
			defer unlock()
		}
		got <- err
	}()
	by := <-told
	if want := fmt.Sprintf("openshell gateway start (process %d, since ", os.Getpid()); !strings.HasPrefix(by, want) {
		t.Errorf("holder is %q", by)
	}
	select {
	case err := <-got:
		t.Fatalf("the lock was given twice: %v", err)
	default:
	}
	unlock()
	unlock()
	must(t, <-got)
}

func TestLockGivesUpWithItsContext(t *testing.T) {
	s := New(t.TempDir())
	unlock, err := s.Lock(context.Background(), "a", nil)
	must(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(context.Background())
	_, err = s.Lock(ctx, "a", func(string) { cancel() })
	if !fault.HasID(err, fault.Locked) || fault.ExitOf(err) != fault.ExitConflict || !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestLocksOfTwoGatewaysAreTwo(t *testing.T) {
	s := New(t.TempDir())
	one, err := s.Lock(context.Background(), "a", nil)
	must(t, err)
	defer one()
	two, err := s.Lock(context.Background(), "A", func(string) { t.Error("waited") })
	must(t, err)
	two()
}

func TestLockOutlivesRemove(t *testing.T) {
	s := New(t.TempDir())
	must(t, write(s.WriteMetadata("a", meta("a"))))
	unlock, err := s.Lock(context.Background(), "a", nil)
	must(t, err)
	defer unlock()
	must(t, s.Remove("a"))
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := s.Lock(ctx, "a", func(string) { cancel() }); !fault.HasID(err, fault.Locked) {
		t.Errorf("error is %v", err)
	}
}

func TestCommandLineKeepsTheVerbOnly(t *testing.T) {
	for want, args := range map[string][]string{
		"openshell":               nil,
		"openshell gateway start": {"/usr/bin/openshell", "gateway", "start", "work", "--port", "1"},
		"openshell status":        {"openshell", "status", "-o", "json"},
	} {
		if got := commandLine(args); got != want {
			t.Errorf("%q gives %q", args, got)
		}
	}
}

func TestHolderRecordHasOneLength(t *testing.T) {
	for _, command := range []string{"x", strings.Repeat("long ", 200)} {
		record, err := encodeHolder(holder{PID: 1, Command: command, Since: time.Now()})
		if err != nil || len(record) != recordSize {
			t.Errorf("%d bytes, %v", len(record), err)
		}
	}
}
