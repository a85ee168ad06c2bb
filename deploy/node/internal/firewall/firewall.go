// Package firewall keeps pods from each other, from the node and from the
// Kubernetes API: everything is refused that the rules do not name.
package firewall

import (
	"bytes"
	"context"
	_ "embed" // the rules
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/sandboxapi"
)

//go:embed rules.nft
var rules string

const (
	table       = "inet openshell"
	gatewayPods = "gateway_pods" // addresses of the gateway server's pods
)

// Rules returns what nft(8) is to apply, in one transaction, for a node. Nothing
// of an earlier table stays.
func Rules(node layout.Node) string {
	return strings.NewReplacer(
		"{{Table}}", table, "{{GatewayPods}}", gatewayPods, "{{Link}}", node.Link,
		"{{Pods}}", node.Settings.Network.PodCIDR.String(), "{{Services}}", node.Settings.Network.ServiceCIDR.String(),
		"{{DNS}}", layout.DNSAddress, "{{API}}", strconv.Itoa(nodeapi.APIServerPort),
		"{{Gateway}}", strconv.Itoa(nodeapi.ServerPort), "{{Hints}}", strconv.Itoa(sandboxapi.HintPort), "{{SSH}}", strconv.Itoa(sandboxapi.SSHPort),
	).Replace(rules)
}

// Apply makes the rules those of a node whose gateway server has no pod yet.
func Apply(ctx context.Context, node layout.Node) error {
	return nft(ctx, Rules(node))
}

// Admit grants an address what the gateway server's pods may do.
func Admit(ctx context.Context, pod netip.Addr) error {
	return nft(ctx, fmt.Sprintf("add element %s %s { %s }\n", table, gatewayPods, pod))
}

// Dismiss takes that back, whether or not it was granted.
func Dismiss(ctx context.Context, pod netip.Addr) error {
	return nft(ctx, fmt.Sprintf("add element %[1]s %[2]s { %[3]s }\ndelete element %[1]s %[2]s { %[3]s }\n", table, gatewayPods, pod))
}

// nft applies all of the commands or none.
func nft(ctx context.Context, commands string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return nil
}
