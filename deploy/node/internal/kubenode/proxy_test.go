package kubenode

import (
	"net/netip"
	"testing"

	proxyv1 "k8s.io/kube-proxy/config/v1alpha1"
	"sigs.k8s.io/yaml"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

// Pitfall 2: a node whose network was made anew has another address than the
// one that the API remembers, and its published ports are opened on this one.
func TestPitfall02ProxyOpensThePortsOfThisBoot(t *testing.T) {
	node := layout.Node{Name: "openshell-cluster-x", IP: netip.MustParseAddr("10.208.33.2")}
	node.Settings.Network.PodCIDR = netip.MustParsePrefix("10.209.0.0/16")
	var config proxyv1.KubeProxyConfiguration
	if err := yaml.UnmarshalStrict([]byte(proxyConfig(node)), &config); err != nil {
		t.Fatal(err)
	}
	if config.BindAddress != "10.208.33.2" {
		t.Errorf("address of the node: %q", config.BindAddress)
	}
	if got := config.NodePortAddresses; len(got) != 1 || got[0] != "primary" {
		t.Errorf("ports are opened on %q", got)
	}
}
