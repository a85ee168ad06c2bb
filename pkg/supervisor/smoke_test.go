//go:build linux

package supervisor_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/sandboxapi"
)

func TestExec(t *testing.T) {
	r := newRig(t).start()
	if diff := cmp.Diff(result{7, "hi\n", "oops\n"}, r.sh("echo hi; echo oops >&2; exit 7")); diff != "" {
		t.Error(diff)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestCommand(t *testing.T) {
	r := newRig(t)
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", "echo hi; exit 7"}, Hold: true}
	r.start()
	got, err := r.attach(sandboxapi.Attach{Start: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(result{7, "hi\n", ""}, got); diff != "" {
		t.Error(diff)
	}
	r.status(sandboxapi.CommandExited)
}
