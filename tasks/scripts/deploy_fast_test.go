// Package scripts_test runs the developer scripts against a stand-in for docker.
package scripts_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// gatewayName is of no gateway a user would have.
const gatewayName = "fast-deploy-test"

// fake is a gateway's container as the scripts see it.
type fake struct {
	t    *testing.T
	root string // its /var/lib/openshell
	env  []string
}

func newFake(t *testing.T) *fake {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("what the script runs in the node runs here, and needs the tools of Linux")
	}
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is not installed; the script reads JSON with it")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "current/deploy"), 0o755); err != nil {
		t.Fatal(err)
	}
	stand, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll("../../build/fast-deploy/" + gatewayName) })
	return &fake{t, root, append(os.Environ(),
		"PATH="+stand+":"+os.Getenv("PATH"), "FAKE_ROOT="+root, "FAKE_NAME="+gatewayName, "FAKE_ID=first")}
}

// run returns what the script said and its exit code.
func (f *fake) run(args ...string) (string, int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "./cluster-deploy-fast.sh", args...)
	cmd.Env = f.env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (f *fake) read(path string) string {
	f.t.Helper()
	content, err := os.ReadFile(filepath.Join(f.root, path))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(content)
}

func TestFastDeployDeploysOnceAndSkipsAfterwards(t *testing.T) {
	f := newFake(t)
	out, code := f.run("--name", gatewayName)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}

	var index struct {
		Images []struct{ Name, Ref, File, Digest string }
	}
	if err := json.Unmarshal([]byte(f.read("current/deploy/images/index.json")), &index); err != nil {
		t.Fatal(err)
	}
	image := index.Images[0]
	hex := strings.TrimPrefix(image.Digest, "sha256:")
	if image.Name != "server" || image.Ref != "openshell.internal/server:"+hex[:12] {
		t.Errorf("index = %+v", index)
	}
	if f.read("current/deploy/images/"+image.File) == "" {
		t.Error("the archive is empty")
	}
	if info, err := os.Stat(filepath.Join(f.root, "current/deploy/bin/openshell-sandbox")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the supervisor: %v, %v", info, err)
	}
	if mounts := strings.Count(f.read("argv"), "mount --bind "+f.root+"/current/deploy/bin /opt/openshell/bin\n"); mounts != 1 {
		t.Errorf("the supervisor was mounted %d times over that of the image", mounts)
	}
	if chart := f.read("current/deploy/charts/openshell/Chart.yaml"); !strings.Contains(chart, "\nversion: 0.1.0+") {
		t.Errorf("the chart's version carries no fingerprint:\n%s", chart)
	}
	if !strings.Contains(f.read("current/deploy/manifests/openshell-helmchart.yaml"), "kind: HelmChart") {
		t.Error("the manifest is not there")
	}

	out, code = f.run("--name", gatewayName)
	for _, want := range []string{"server: unchanged, skipped", "chart: unchanged, skipped", "handshake Secret reused"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("second run: exit code %d, want %q in:\n%s", code, want, out)
		}
	}

	f.env = append(f.env, "FAKE_ID=second")
	if out, code = f.run("chart", "--name", gatewayName); code != 0 || !strings.Contains(out, "chart: copy") || strings.Contains(out, "server") {
		t.Errorf("another container: exit code %d:\n%s", code, out)
	}
	if links, err := filepath.Glob(filepath.Join(f.root, "current/deploy/charts/*")); err != nil || len(links) != 2 {
		t.Errorf("charts = %v, %v, want the chart and its link", links, err)
	}
}

func TestPitfall28FastDeployShowsNoSecret(t *testing.T) {
	f := newFake(t)
	out, code := f.run("chart", "--name", gatewayName)
	if code != 0 || !strings.Contains(out, "handshake Secret created") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	var secret struct{ StringData map[string]string }
	if err := json.Unmarshal([]byte(f.read("created")), &secret); err != nil {
		t.Fatal(err)
	}
	value := secret.StringData["secret"]
	if len(value) != 64 || strings.Trim(value, "0123456789abcdef") != "" {
		t.Fatalf("value of %d characters is not 64 hexadecimal digits", len(value))
	}
	if strings.Contains(out+f.read("argv"), value) {
		t.Error("the value is in the output or in a command line")
	}
}

// A server that was started with another secret would go on using it.
func TestFastDeployRestartsTheServerOfALostSecret(t *testing.T) {
	f := newFake(t)
	f.env = append(f.env, "FAKE_WORKLOAD=1")
	if out, code := f.run("chart", "--name", gatewayName); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	_, after, found := strings.Cut(f.read("argv"), "rollout restart statefulset/openshell")
	if !found || !strings.Contains(after, "create -f -") || !strings.Contains(after, "rollout status") {
		t.Errorf("want a restart, the new Secret, and the end of the rollout:\n%s", f.read("argv"))
	}
	if out, code := f.run("chart", "--name", gatewayName); code != 0 || strings.Contains(out, "rollout") {
		t.Errorf("second run: exit code %d:\n%s", code, out)
	}
}

func TestFastDeploySaysWhyTheNodeRefuses(t *testing.T) {
	f := newFake(t)
	if out, code := f.run("--name", gatewayName); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	stuck := *f
	stuck.env = slices.Concat(f.env, []string{"FAKE_STUCK=1", "FAKE_ID=second"})
	out, code := stuck.run("chart", "--name", gatewayName)
	if code != 1 || !strings.Contains(out, "no such value") || !strings.Contains(out, "did not apply the chart") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out, code = f.run("chart", "--name", gatewayName); code != 0 || !strings.Contains(out, "chart: copy") {
		t.Errorf("what was not applied is not deployed again: exit code %d:\n%s", code, out)
	}
}

func TestFastDeployForgetsAManifestThatIsGone(t *testing.T) {
	f := newFake(t)
	old := filepath.Join(f.root, "current/deploy/manifests/old.yaml")
	if err := os.MkdirAll(filepath.Dir(old), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, []byte("kind: ConfigMap"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := f.run("chart", "--name", gatewayName); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old manifest is still there: %v", err)
	}
}

func TestFastDeployRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		env  string
		code int
		want string
	}{
		{"an unknown part", []string{"everything"}, "", 2, "unknown argument: everything"},
		{"a missing name", []string{"--name"}, "", 2, "--name needs a value"},
		{"a bad name", []string{"--name", "a b"}, "", 2, "not a gateway name: a b"},
		{"an absent gateway", []string{"--name", "absent"}, "", 1, "openshell gateway start --name absent"},
		{"a stopped gateway", []string{"--name", gatewayName}, "FAKE_STATE=exited", 1, "is not running"},
		{"an engine that does not answer", []string{"--name", gatewayName}, "FAKE_DOWN=1", 1, "the Docker Engine does not answer"},
		{"a foreign container", []string{"--name", gatewayName}, "FAKE_OWNER=", 1, "does not belong"},
		{"a damaged handshake Secret", []string{"--name", gatewayName}, "FAKE_SECRET=short", 1, "which repairs it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			if value, ok := strings.CutPrefix(tt.env, "FAKE_SECRET="); ok {
				if err := os.WriteFile(filepath.Join(f.root, "created"), []byte(`{"stringData":{"secret":"`+value+`"}}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f.env = append(f.env, tt.env)
			out, code := f.run(tt.args...)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d and %q in:\n%s", code, tt.code, tt.want, out)
			}
			if entries, err := os.ReadDir(filepath.Join(f.root, "current/deploy")); err != nil || len(entries) > 0 {
				t.Errorf("deployed %v, %v", entries, err)
			}
		})
	}
}
