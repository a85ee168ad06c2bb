//go:build e2e

package edge

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// envctl runs the developer's script with a configuration of its own.
func envctl(t *testing.T, config string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(programs.root, "tasks/scripts/envctl.sh"), args...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+config)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// A restart reloads every gateway of the environment, and counts those that failed.
func TestEnvctlRestart(t *testing.T) {
	t.Parallel()
	const environment = "edge-envctl-test"
	config := t.TempDir()
	t.Cleanup(func() { os.RemoveAll(filepath.Join(programs.root, "build/envctl", environment)) })
	if out, code := envctl(t, config, "restart", environment, "gateway"); code != 1 || !strings.Contains(out, "has no gateway that runs") {
		t.Errorf("without a gateway: %d: %s", code, out)
	}
	gateway := func(name string) *box {
		return newBox(t, "--name", "openshell-cluster-"+name, "--label", "openshell.ai/managed-by=openshell", "--label", "openshell.ai/gateway="+environment)
	}
	b, broken := gateway(environment), gateway(environment+"-broken")
	b.up()
	if out, code := envctl(t, config, "restart", environment, "gateway"); code != 2 || strings.Count(out, "has no build key") != 2 {
		t.Errorf("gateways that do not know the key: %d: %s", code, out)
	}
	out, code := envctl(t, config, "restart", environment, "gateway", "--trust")
	if code != 1 || strings.Count(out, "reloaded, runs") != 1 || !strings.Contains(out, "reset the gateway") {
		t.Errorf("one gateway that runs and one that does not: %d: %s", code, out)
	}
	if current := strings.TrimSpace(b.sh("readlink /opt/gateway/current")); !strings.HasPrefix(current, "releases/") {
		t.Errorf("current is %s", current)
	}
	exec.Command("docker", "stop", "--time", "0", broken.id).Run()
	if out, code := envctl(t, config, "restart", environment, "gateway"); code != 0 || !strings.Contains(out, "runs already") {
		t.Errorf("the same build again: %d: %s", code, out)
	}
	for _, args := range [][]string{{}, {"restart"}, {"stop", "dev", "gateway"}, {"restart", "-dev", "gateway"}, {"restart", "dev", "server"}, {"restart", "dev", "gateway", "now"}} {
		if out, code := envctl(t, config, args...); code != 2 || !strings.Contains(out, "usage: ") {
			t.Errorf("%q: %d: %s", args, code, out)
		}
	}
}
