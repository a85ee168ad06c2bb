//go:build e2e || soak || bench

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// Box is a sandbox of a gateway.
type Box struct {
	g    *Gateway
	Name string
}

// BoxInfo is what `sandbox get` says of one, as far as scenarios look at it.
type BoxInfo struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Status      string `json:"status"`
	Fingerprint string `json:"hostKeyFingerprint"`
	Command     *struct {
		State    string `json:"state"`
		ExitCode int    `json:"exitCode"`
		Runs     int    `json:"runs"`
	} `json:"command"`
}

// sandbox makes one that idles, and sees to it that it is deleted when the
// test ends.
func (g *Gateway) sandbox(t testing.TB, name string, flags ...string) *Box {
	t.Helper()
	args := append([]string{"sandbox", "create", "--no-bootstrap", "--name", name, "--detach"}, flags...)
	g.CLI(t, args...).Exits(t, 0)
	b := &Box{g, name}
	t.Cleanup(func() { b.delete(t) })
	return b
}

func (b *Box) delete(t testing.TB) {
	if r := b.g.CLI(t, "sandbox", "delete", "--yes", b.Name); r.Code != 0 {
		t.Logf("left behind: %s", r)
	}
}

// info is the document of `sandbox get`.
func (b *Box) info(t testing.TB) BoxInfo {
	t.Helper()
	var info BoxInfo
	b.g.CLI(t, "sandbox", "get", b.Name, "-o", "json").Exits(t, 0).JSON(t, &info)
	return info
}

// exec runs a command in the sandbox.
func (b *Box) exec(t testing.TB, argv ...string) Result {
	t.Helper()
	return b.g.CLI(t, append([]string{"sandbox", "exec", b.Name, "--"}, argv...)...)
}

// sh runs a shell script in the sandbox, which must succeed, and returns its
// output without surrounding space.
func (b *Box) sh(t testing.TB, script string) string {
	t.Helper()
	return strings.TrimSpace(b.exec(t, "bash", "-euo", "pipefail", "-c", script).Exits(t, 0).Stdout)
}

// kubectl asks about the sandboxes' namespace; it must succeed.
func (b *Box) kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return b.g.Kubectl(t, append([]string{"--namespace", sandboxapi.Namespace}, args...)...)
}

// ip is the address of the sandbox's pod.
func (b *Box) ip(t testing.TB) string {
	t.Helper()
	return b.kubectl(t, "get", "pod", "--selector", sandboxapi.LabelID+"="+b.info(t).ID, "-o", "jsonpath={.items[0].status.podIP}")
}

// sshConfig writes what `sandbox ssh-config` prints into a file and returns
// its path and the host's name in it.
func (b *Box) sshConfig(t testing.TB) (path, host string) {
	t.Helper()
	config := b.g.CLI(t, "sandbox", "ssh-config", b.Name).Exits(t, 0).Stdout
	for line := range strings.Lines(config) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "Host "); found {
			host = name
		}
	}
	if host == "" {
		t.Fatalf("no host in the SSH configuration:\n%s", config)
	}
	path = filepath.Join(t.TempDir(), "ssh_config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, host
}

// ready counts the sandboxes that can be used.
func (g *Gateway) ready(t testing.TB) int {
	t.Helper()
	var list []BoxInfo
	r := g.CLI(t, "sandbox", "list", "-o", "json")
	if r.Code != 0 {
		return 0 // the gateway is healthy a moment before it knows its sandboxes
	}
	r.JSON(t, &list)
	n := 0
	for _, box := range list {
		if box.Status == "ready" {
			n++
		}
	}
	return n
}

// left is every object of the sandboxes' namespace that belongs to a sandbox,
// beside the sandboxes themselves.
func (g *Gateway) left(t testing.TB) string {
	t.Helper()
	return g.Kubectl(t, "get", "pods,persistentvolumeclaims,secrets,sandboxes.openshell.ai,routes.openshell.ai", "--namespace", sandboxapi.Namespace,
		"--selector", fmt.Sprintf("%s=%s", sandboxapi.LabelManagedBy, sandboxapi.ManagedBy), "-o", "name")
}
