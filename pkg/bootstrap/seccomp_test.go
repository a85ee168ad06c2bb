//go:build linux

package bootstrap

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// The profile is a file because the module that holds Docker's default builds
// on Linux only, and the command line does not.
func TestSeccompProfileIsDockersDefaultAndPivotRoot(t *testing.T) {
	want := seccomp.DefaultProfile()
	want.Syscalls = append(want.Syscalls, &seccomp.Syscall{
		LinuxSyscall: specs.LinuxSyscall{Names: []string{"pivot_root"}, Action: specs.ActAllow},
	})
	data, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("seccomp.json", append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(data)+"\n", seccompProfile); diff != "" {
		t.Errorf("seccomp.json is out of date, run the test with -update (-want +got):\n%s", diff)
	}
}
