package firewall

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/gateway"
)

var node = layout.Node{
	Name: "node", Link: "eth7", IP: netip.MustParseAddr("10.1.0.2"),
	Settings: gateway.Settings{Network: gateway.Network{
		PodCIDR: netip.MustParsePrefix("10.2.0.0/20"), ServiceCIDR: netip.MustParsePrefix("10.3.0.0/20"),
	}},
}

func TestRulesAreOfThisNode(t *testing.T) {
	text := Rules(node)
	for _, want := range []string{
		`oifname "eth7" masquerade`, "ip saddr 10.2.0.0/20", "10.3.0.0/20", "169.254.20.10 udp dport 53", "@gateway_pods tcp dport 6443",
		"tcp dport { 8080, 8082 }", "tcp dport 2222",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "{{") {
		t.Errorf("something was not filled in:\n%s", text)
	}
}

// Applied twice they are the same, and nothing is granted any more. That they
// hold is tested with real pods in e2e.
func TestRulesAreAppliedAtOnceAndAnew(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and nft(8)")
	}
	if os.Getenv("FIREWALL_TEST_NETNS") == "" {
		again := exec.CommandContext(t.Context(), "unshare", "--net", os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), "FIREWALL_TEST_NETNS=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		return
	}
	ctx := t.Context()
	pod := netip.MustParseAddr("10.2.0.9")
	granted := func() bool {
		t.Helper()
		out, err := exec.CommandContext(ctx, "nft", "list", "set", "inet", "openshell", gatewayPods).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Contains(string(out), pod.String())
	}
	for range 2 {
		if err := Apply(ctx, node); err != nil {
			t.Fatal(err)
		}
		if granted() {
			t.Error("an address of a former boot is still granted")
		}
		for range 2 {
			if err := Admit(ctx, pod); err != nil || !granted() {
				t.Errorf("not granted: %v", err)
			}
		}
	}
	for range 2 {
		if err := Dismiss(ctx, pod); err != nil || granted() {
			t.Errorf("still granted: %v", err)
		}
	}
}
