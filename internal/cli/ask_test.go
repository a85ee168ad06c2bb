package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/fault"
)

func TestAsk(t *testing.T) {
	for input, want := range map[string]bool{
		"y\n": true, "yes\n": true, "YES\n": true, " y \n": true, "y": true,
		"": false, "\n": false, "n\n": false, "yep\n": false, "\ny\n": false,
	} {
		got, err := ask(context.Background(), Streams{In: strings.NewReader(input), Err: io.Discard}, "sure? ")
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", input, got, err)
		}
	}
}

func TestAskEndsWithCtrlC(t *testing.T) {
	in, hold := io.Pipe()
	defer hold.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupted)
	agreed, err := ask(ctx, Streams{In: in, Err: io.Discard}, "sure? ")
	if agreed || !errors.Is(err, errInterrupted) {
		t.Errorf("agreed %v, %v", agreed, err)
	}
	if code := fault.ExitOf(asFault(ctx, err)); code != fault.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
}
