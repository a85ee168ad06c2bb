package edgecli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/edge/client"
	"openshell.ai/openshell/pkg/edge/containers"
)

// vpnRig is a gateway's directories, with keys as start-vpn.sh leaves them.
func vpnRig(t *testing.T) (state, run string) {
	t.Helper()
	state, run = t.TempDir(), t.TempDir()
	t.Setenv("GATEWAY_STATE", state)
	t.Setenv("GATEWAY_RUN", run)
	t.Setenv("GATEWAY_FQDN", "gw.example")
	for path, content := range map[string]string{
		filepath.Join(state, "vpn", "ca.crt"):      "CA",
		filepath.Join(state, "vpn", "clients.crt"): "CRT",
		filepath.Join(state, "vpn", "clients.key"): "KEY",
		filepath.Join(state, "vpn", "ta.key"):      "TA",
		filepath.Join(run, "vpn", "server.json"):   `{"temp_dir":"/tmp/ovpn-0","port":49123}`,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return state, run
}

func runVPN(args ...string) (stdout, stderr string, err error) {
	var out, problems bytes.Buffer
	cmd := New()
	cmd.SetOut(&out)
	cmd.SetErr(&problems)
	cmd.SetArgs(append([]string{"vpn"}, args...))
	err = cmd.Execute()
	return out.String(), problems.String(), err
}

func TestVPNClientPackages(t *testing.T) {
	vpnRig(t)
	out, _, err := runVPN("client", "add", "web", "--kind", "container", "--service", "site:8080")
	if err != nil {
		t.Fatal(err)
	}
	first, err := client.ParsePackage([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if got := first.Remotes; len(got) != 1 || got[0] != (client.Remote{Host: "gw.example", Port: 49123}) {
		t.Errorf("remotes %v", got)
	}
	out, said, err := runVPN("client", "config", "web", "--remote", "a", "--remote", "b", "--port", "5")
	if err != nil || !strings.Contains(said, "new token") {
		t.Fatalf("%v, stderr %s", err, said)
	}
	second, err := client.ParsePackage([]byte(out))
	if err != nil || second.ID != first.ID || second.Token == first.Token || len(second.Remotes) != 2 || second.Remotes[1].Port != 5 {
		t.Errorf("%+v, %v", second, err)
	}
	out, _, err = runVPN("client", "list")
	var list []listed
	if json.Unmarshal([]byte(out), &list) != nil || err != nil || len(list) != 1 || list[0].ID != first.ID || list[0].Kind != "container" || strings.Contains(out, "oken") {
		t.Errorf("list: %v\n%s", err, out)
	}
	if _, _, err := runVPN("client", "rm", first.ID); err != nil {
		t.Error(err)
	}
	if out, _, err := runVPN("client", "list"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("list: %v\n%s", err, out)
	}
}

// A management socket that nobody answers at takes nothing of what was done.
func TestVPNClientIsDoneThoughNothingDisconnects(t *testing.T) {
	state, run := vpnRig(t)
	temp := t.TempDir()
	server := fmt.Sprintf(`{"temp_dir":%q,"port":49123}`, temp)
	for path, content := range map[string]string{filepath.Join(run, "vpn", "server.json"): server, filepath.Join(temp, "management.sock"): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := runVPN("client", "add", "web"); err != nil {
		t.Fatal(err)
	}
	out, said, err := runVPN("client", "config", "web")
	if err != nil || !strings.Contains(said, "not ended") {
		t.Errorf("config: %v, stderr %s", err, said)
	}
	p, err := client.ParsePackage([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := containers.Open(state).Verify(p.ID, p.Token); err != nil {
		t.Errorf("the printed package does not count: %v", err)
	}
	if out, said, err := runVPN("client", "rm", "web"); err != nil || !strings.Contains(said, "not ended") || !strings.Contains(out, p.ID) {
		t.Errorf("rm: %v, stderr %s, stdout %s", err, said, out)
	}
}

// What an outside client is answered names no place that only this host knows.
func TestVPNConfigHasNoRemotes(t *testing.T) {
	state, run := vpnRig(t)
	out, _, err := runVPN("client", "add", "web")
	if err != nil {
		t.Fatal(err)
	}
	p, err := client.ParsePackage([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := tunnel{state, run}.ClientConfig(p.ID, p.Token)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(answer)
	if err != nil || strings.Contains(string(data), "gw.example") || strings.Contains(string(data), "remotes") {
		t.Errorf("%v: %s", err, data)
	}
	for _, key := range []string{"KEY", "TA", p.Token, p.ID} {
		if !strings.Contains(string(data), key) {
			t.Errorf("%s is not in %s", key, data)
		}
	}
}

// What is refused registers nothing.
func TestVPNClientRefuses(t *testing.T) {
	state, run := vpnRig(t)
	for want, args := range map[string][]string{
		"NAME:PORT":      {"client", "add", "web", "--service", "site"},
		"1 to 65535":     {"client", "add", "web", "--service", "site:0"},
		"the gateway's":  {"client", "add", "web", "--service", "collab:80"},
		"container name": {"client", "add", "We b"},
		"kind":           {"client", "add", "web", "--kind", "laptop"},
		"no host name":   {"client", "add", "web", "--remote", "a b"},
		"no such":        {"client", "rm", "web"},
		"no such conta":  {"client", "config", "web"},
	} {
		if out, _, err := runVPN(args...); err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%q: %v, stdout %q; want %q", args, err, out, want)
		}
	}
	if err := os.Remove(filepath.Join(run, "vpn", "server.json")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runVPN("client", "add", "web"); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("without a server: %v", err)
	}
	if err := os.Remove(filepath.Join(state, "vpn", "ta.key")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runVPN("client", "add", "web", "--port", "1"); err == nil || !strings.Contains(err.Error(), "no keys yet") {
		t.Errorf("without keys: %v", err)
	}
	if _, err := os.Stat(filepath.Join(state, "containers.json")); err == nil {
		t.Error("something was registered")
	}
}
