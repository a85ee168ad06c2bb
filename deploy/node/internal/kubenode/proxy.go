package kubenode

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
)

// proxyConfig leaves the conntrack sysctls alone, which are the laptop's, and
// programs a changed endpoint at once instead of once a second. It is told the
// node's address, because the API still has that of the last boot until the
// kubelet has reported.
func proxyConfig(node layout.Node) string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
bindAddress: %q
clusterCIDR: %q
hostnameOverride: %q
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: [primary]
oomScoreAdj: 0
clientConnection:
  kubeconfig: %q
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
nftables:
  minSyncPeriod: 20ms
  syncPeriod: 30s
`, node.IP, node.Settings.Network.PodCIDR, node.Name, layout.Kubeconfig(certs.Proxy))
}

func runProxy(ctx context.Context, node layout.Node) error {
	if err := os.WriteFile(layout.ProxyConfig, []byte(proxyConfig(node)), 0o600); err != nil {
		return fmt.Errorf("kube-proxy configuration: %w", err)
	}
	opts := proxy.NewOptions()
	flags := pflag.NewFlagSet("kube-proxy", pflag.ContinueOnError)
	opts.AddFlags(flags)
	if err := flags.Parse([]string{"--config=" + layout.ProxyConfig}); err != nil {
		return err
	}
	if err := opts.Complete(flags); err != nil {
		return err
	}
	if err := opts.Validate(); err != nil {
		return err
	}
	return opts.Run(ctx)
}
