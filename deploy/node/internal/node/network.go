package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"openshell.ai/openshell/deploy/node/internal/firewall"
	"openshell.ai/openshell/deploy/node/internal/layout"
)

// prepareNetwork prepares what pods need of the network: the firewall, the CNI
// configuration and the resolver file. Address leases live in memory, so that
// none of a former boot is left. Each pod has a link of its own to the node:
// there is no bridge on which pods could reach each other past the firewall,
// which also masquerades.
func prepareNetwork(node layout.Node) error {
	if err := firewall.Apply(context.Background(), node); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	if err := os.MkdirAll(layout.CNIConfDir, 0o755); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	conflist := fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "openshell",
  "plugins": [{
    "type": "ptp",
    "ipam": {
      "type": "host-local",
      "dataDir": %q,
      "ranges": [[{"subnet": %q}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }, {
    "type": "openshell-cni"
  }]
}
`, layout.LeaseDir, node.Settings.Network.PodCIDR)
	resolver := fmt.Sprintf("nameserver %s\n", layout.DNSAddress)
	for path, content := range map[string]string{
		layout.CNIConfig:  conflist,
		layout.ResolvConf: resolver,
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("pod network: %w", err)
		}
	}
	return configure(
		// The loopback interface has the address pods ask for names.
		[]string{"address", "replace", layout.DNSAddress + "/32", "dev", "lo"},
		// What is sent to a pod that is not there must not leave by the default
		// route; the routes of single pods go before this one.
		[]string{"route", "replace", "unreachable", node.Settings.Network.PodCIDR.String(), "metric", "4096"},
	)
}

// configure runs ip(8).
func configure(commands ...[]string) error {
	for _, arguments := range commands {
		out, err := exec.Command("ip", arguments...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(arguments, " "), err, out)
		}
	}
	return nil
}
