package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// node is a plugin and the firewall it speaks to.
type node struct {
	Plugin
	t        *testing.T
	admitted []string
	fail     error
}

func newNode(t *testing.T) *node {
	n := &node{t: t}
	n.Plugin = Plugin{
		Namespace: "openshell", Dir: t.TempDir() + "/gateway",
		Sandboxes: "openshell-sandboxes", SandboxDir: t.TempDir() + "/sandboxes",
		Admit: func(_ context.Context, pod netip.Addr) error {
			n.admitted = append(n.admitted, pod.String())
			return n.fail
		},
		Dismiss: func(_ context.Context, pod netip.Addr) error {
			if n.fail == nil {
				n.admitted = slices.DeleteFunc(n.admitted, func(a string) bool { return a == pod.String() })
			}
			return n.fail
		},
	}
	return n
}

func (n *node) run(command, container, namespace, in string) (string, error) {
	return n.runWith(command, container, "IgnoreUnknown=1;K8S_POD_NAMESPACE="+namespace+";K8S_POD_NAME=x", in)
}

func (n *node) runWith(command, container, args, in string) (string, error) {
	var out bytes.Buffer
	err := n.Run(n.t.Context(), Environment{Command: command, Container: container, Args: args}, strings.NewReader(in), &out)
	return out.String(), err
}

func (n *node) want(admitted ...string) {
	n.t.Helper()
	if diff := cmp.Diff(admitted, n.admitted); diff != "" && len(admitted)+len(n.admitted) > 0 {
		n.t.Errorf("admitted (-want +got):\n%s", diff)
	}
}

func result(address string) string {
	return `{"cniVersion":"1.0.0","ips":[{"address":"` + address + `"}],"routes":[]}`
}

func config(address string) string {
	return `{"cniVersion":"1.0.0","name":"openshell","type":"openshell-cni","prevResult":` + result(address) + `}`
}

func TestOnlyTheGatewaysPodsAreAdmitted(t *testing.T) {
	n := newNode(t)
	for i, namespace := range []string{"openshell-sandboxes", "", "Openshell", "openshell ", "openshell"} {
		out, err := n.run("ADD", "c"+string(rune('a'+i)), namespace, config("10.0.0.5/20"))
		if err != nil || out != result("10.0.0.5/20") {
			t.Errorf("%q: %q, %v", namespace, out, err)
		}
		if namespace != "openshell" {
			n.want()
		}
	}
	n.want("10.0.0.5")
}

func TestAnAddressIsDismissedWithItsPod(t *testing.T) {
	n := newNode(t)
	for container, address := range map[string]string{"old": "10.0.0.2/20", "new": "10.0.0.3/20"} {
		if _, err := n.run("ADD", container, "openshell", config(address)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the runtime may say it twice
		if out, err := n.run("DEL", "old", "openshell", config("10.0.0.2/20")); err != nil || out != "" {
			t.Errorf("%q, %v", out, err)
		}
		n.want("10.0.0.3")
	}
}

// After a restart of the container the runtime still has results of the former
// boot, and tidies up sandboxes whose addresses are now of others.
func TestAPodOfAFormerBootDismissesNobody(t *testing.T) {
	n := newNode(t)
	if _, err := n.run("ADD", "present", "openshell", config("10.0.0.2/20")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.run("DEL", "former", "openshell", config("10.0.0.2/20")); err != nil {
		t.Fatal(err)
	}
	n.want("10.0.0.2")
}

func TestWhatCouldNotBeDismissedIsTriedAgain(t *testing.T) {
	n := newNode(t)
	if _, err := n.run("ADD", "c", "openshell", config("10.0.0.2/20")); err != nil {
		t.Fatal(err)
	}
	n.fail = errors.New("nft: no such table")
	out, err := n.run("DEL", "c", "openshell", "")
	var answer failure
	if err == nil || json.Unmarshal([]byte(out), &answer) != nil || answer.Code < 100 || !strings.Contains(answer.Msg, "no such table") {
		t.Errorf("%q, %v", out, err)
	}
	n.fail = nil
	if _, err := n.run("DEL", "c", "openshell", ""); err != nil {
		t.Error(err)
	}
	n.want()
	if left, err := os.ReadDir(n.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A pod that could not be admitted must not come up, and a plugin that was
// killed in between must not leave an address behind.
func TestAHalfDoneAddCanBeUndone(t *testing.T) {
	n := newNode(t)
	n.fail = errors.New("killed")
	if _, err := n.run("ADD", "c", "openshell", config("10.0.0.2/20")); err == nil {
		t.Error("the pod comes up")
	}
	n.fail = nil
	if _, err := n.run("DEL", "c", "openshell", ""); err != nil {
		t.Error(err)
	}
	n.want()
}

func TestSandboxesLetTheServerGoFirst(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, tt := range []struct {
		name    string
		booted  time.Duration // ago
		serving bool
		least   time.Duration
	}{
		{"the server comes", 0, true, yieldPoll},
		{"the boot is long over", time.Hour, false, 0},
		{"the server does not come", yieldFor - 3*yieldPoll, false, 2 * yieldPoll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			n.BootFile = filepath.Join(t.TempDir(), "boot")
			n.Port = server.Addr().(*net.TCPAddr).Port
			began := time.Now()
			for _, err := range []error{os.WriteFile(n.BootFile, nil, 0o600), os.Chtimes(n.BootFile, began, began.Add(-tt.booted)), os.MkdirAll(n.Dir, 0o700)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if tt.serving {
				time.AfterFunc(yieldPoll, func() {
					if err := os.WriteFile(filepath.Join(n.Dir, "c"), []byte("127.0.0.1"), 0o600); err != nil {
						t.Error(err)
					}
				})
			}
			if _, err := n.run("ADD", "box", "openshell-sandboxes", config("10.0.0.9/20")); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < tt.least || took > yieldFor/2 {
				t.Errorf("it waited %s", took)
			}
		})
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ container, in string }{
		"no configuration": {"c", ""},
		"no result":        {"c", `{"cniVersion":"1.0.0"}`},
		"no address":       {"c", `{"prevResult":{"ips":[]}}`},
		"only IPv6":        {"c", config("fd00::2/64")},
		"not an address":   {"c", config("10.0.0.2")},
		"not a result":     {"c", `{"prevResult":[1]}`},
		"a path":           {"../c", config("10.0.0.2/20")},
		"no container":     {"", config("10.0.0.2/20")},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if out, err := n.run("ADD", c.container, "openshell", c.in); err == nil {
				t.Errorf("accepted: %q", out)
			}
			n.want()
		})
	}
}

func TestVersion(t *testing.T) {
	out, err := newNode(t).run("VERSION", "", "", `{"cniVersion":"1.0.0"}`)
	var answer struct{ SupportedVersions []string }
	if err != nil || json.Unmarshal([]byte(out), &answer) != nil || !slices.Contains(answer.SupportedVersions, "1.0.0") {
		t.Errorf("%q, %v", out, err)
	}
}

func FuzzAddressIn(f *testing.F) {
	f.Add([]byte(result("10.0.0.2/20")))
	f.Add([]byte(`{"ips":[{"address":"fd00::2/64"},{"address":"10.0.0.2/20"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if addr, err := addressIn(data); err == nil && !addr.Is4() {
			t.Errorf("%q: %v", data, addr)
		}
	})
}
