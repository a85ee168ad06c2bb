package kubenode

import (
	"net/netip"
	"testing"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/validation"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

func TestKubeletTakesItsConfiguration(t *testing.T) {
	c, err := options.NewKubeletConfiguration()
	if err != nil {
		t.Fatal(err)
	}
	configure(c, layout.Node{Name: "node", IP: netip.MustParseAddr("172.18.0.2")})
	if err := validation.ValidateKubeletConfiguration(c, utilfeature.DefaultFeatureGate); err != nil {
		t.Error(err)
	}
	if c.SingleProcessOOMKill == nil || !*c.SingleProcessOOMKill {
		t.Error("a process that is out of memory takes its sandbox with it")
	}
}
