//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What a user gives away with a bug report holds neither the gateway's secrets
// nor the user's, and yet what the report is for.
func TestPitfall28BundleOfARunningGatewayHoldsNoSecret(t *testing.T) {
	t.Parallel()
	const own = "own-hunter2"
	g := started(t, "bundle", "--vpn-port", strconv.Itoa(freePort(t)))
	g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", "secretive", "--env", "TOKEN="+own, "--detach", "--", "sleep", "1000").Exits(t, 0)
	secrets := g.secretTexts(t)
	secrets["the environment of a sandbox"] = own
	var client struct{ Token string }
	if err := json.Unmarshal([]byte(g.CLI(t, "gateway", "vpn", "client-config", "laptop").Exits(t, 0).Stdout), &client); err != nil || client.Token == "" {
		t.Fatalf("package of a VPN client: token %q, %v", client.Token, err)
	}
	secrets["the token of a VPN client"] = client.Token

	dir := t.TempDir()
	packed := filepath.Join(dir, "bundle.tar.gz")
	g.CLI(t, "doctor", "bundle", "--file", packed).Exits(t, 0)
	run(t, nil, "", "tar", "-xzf", packed, "-C", dir).Exits(t, 0)
	content := map[string]string{}
	for _, file := range []string{"version.json", "docker.json", "container.json", "status.json", "checks.json", "vpn.json", "node.log", "edge-gateway.log", "errors.txt"} {
		text, err := os.ReadFile(filepath.Join(dir, "openshell-doctor", file))
		if err != nil {
			t.Error(err)
		}
		content[file] = string(text)
	}
	if content["errors.txt"] != "" {
		t.Errorf("errors: %s", content["errors.txt"])
	}
	for file, word := range map[string]string{"docker.json": `"Kernel"`, "container.json": `"ExitCode"`, "status.json": `"milestones"`, "checks.json": `"engine-os"`, "vpn.json": `"laptop"`} {
		if !strings.Contains(content[file], word) {
			t.Errorf("%s has no %s", file, word)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "openshell-doctor", "*"))
	if err != nil || len(files) < len(content) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s stands in %s", what, filepath.Base(file))
			}
		}
	}
}
