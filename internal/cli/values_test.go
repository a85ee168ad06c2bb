package cli

import (
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/fault"
)

// startWith parses the arguments of `gateway start` and stops there.
func startWith(t *testing.T, args ...string) (bootstrap.StartOptions, error) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	deps := fakeDeps()
	var got bootstrap.StartOptions
	cmd := newGatewayStart(&deps, func(_ context.Context, opts *startOptions) error {
		got = opts.StartOptions
		return nil
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	return got, cmd.Execute()
}

func TestStartFlagsNotGivenAreNil(t *testing.T) {
	got, err := startWith(t)
	if diff := cmp.Diff(bootstrap.StartOptions{Name: "openshell"}, got, cmpopts.IgnoreUnexported(bootstrap.StartOptions{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestStartFlagValues(t *testing.T) {
	for _, c := range []struct {
		flag, value string
		ok          bool
	}{
		{"port", "1", true}, {"port", "65535", true}, {"port", "0", false}, {"port", "+80", false}, {"port", "080", false}, {"port", " 80", false}, {"port", "", false},
		{"http-port", "0", true}, {"vpn-port", "65536", false},
		{"bind", "::1", true}, {"bind", "0.0.0.0", true}, {"bind", "127.0.0.1:80", false}, {"bind", "fe80::1%eth0", false}, {"bind", "", false},
		{"gateway-host", "box", true}, {"gateway-host", "a.b-c.d", true}, {"gateway-host", "a..b", false}, {"gateway-host", "-a", false}, {"gateway-host", "", false}, {"gateway-host", "*.a", false}, {"gateway-host", "a,,b", false}, {"gateway-host", "1.2.3", false},
		{"cpus", "0", true}, {"cpus", "2", true}, {"cpus", "0.25", true}, {"cpus", "0.01", false}, {"cpus", "1e3", false}, {"cpus", "2000", false}, {"cpus", "", false},
		{"memory", "0", true}, {"memory", "512m", true}, {"memory", "4g", true}, {"memory", "4GiB", true}, {"memory", "511m", false}, {"memory", "-4g", false}, {"memory", "4x", false}, {"memory", "", false},
		{"timeout", "1s", true}, {"timeout", "1h30m", true}, {"timeout", "999ms", false}, {"timeout", "-5m", false}, {"timeout", "5", false},
		{"image", "openshell/cluster:v1", true}, {"image", "A B", false}, {"image", "", false},
		{"output", "json", true}, {"output", "JSON", false},
	} {
		_, err := startWith(t, "--"+c.flag, c.value)
		if c.ok && err != nil {
			t.Errorf("--%s %q: %v", c.flag, c.value, err)
		}
		if !c.ok && (!fault.HasID(err, fault.BadValue) || fault.ExitOf(err) != fault.ExitUsage) {
			t.Errorf("--%s %q is accepted or has another error: %v", c.flag, c.value, err)
		}
	}
}

func TestWantsJSON(t *testing.T) {
	for _, c := range []struct {
		args []string
		want bool
	}{
		{[]string{"status", "-o", "json"}, true},
		{[]string{"status", "-ojson", "--nope"}, true},
		{[]string{"status", "-o=json"}, true},
		{[]string{"status", "--output", "json"}, true},
		{[]string{"status", "--output=json"}, true},
		{[]string{"status", "-o", "text"}, false},
		{[]string{"status", "-o"}, false},
		{[]string{"gateway", "exec", "--", "x", "-o", "json"}, false},
	} {
		if got := wantsJSON(c.args); got != c.want {
			t.Errorf("%q: %v", c.args, got)
		}
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{{"port", "port"}: 0, {"prot", "port"}: 2, {"", "abc"}: 3, {"por", "port"}: 1} {
		if got := distance(pair[0], pair[1]); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}
