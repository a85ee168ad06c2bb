package kubenode

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	maxPods = 250
	// maxPIDs is for one pod, so that a fork bomb in a sandbox takes no other with it.
	maxPIDs = 4096
)

func kubeletServer(node layout.Node) (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	flags.KubeConfig = layout.Kubeconfig(certs.NodeAgent)
	flags.HostnameOverride = node.Name
	flags.NodeIP = node.IP.String()
	flags.RootDirectory = layout.KubeletDir
	flags.CertDirectory = layout.RunDir + "/kubelet-pki"

	config, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	configure(config, node)
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *config}, nil
}

func configure(c *kubeletconfig.KubeletConfiguration, node layout.Node) {
	c.Address = node.IP.String()
	c.HealthzPort = 0
	c.ReadOnlyPort = 0
	c.TLSCertFile = layout.Cert(certs.Kubelet)
	c.TLSPrivateKeyFile = layout.Key(certs.Kubelet)
	// Only the API server has a client certificate of the node's authority
	// that is meant for the kubelet; no token is accepted.
	c.Authentication.Anonymous.Enabled = false
	c.Authentication.Webhook.Enabled = false
	c.Authentication.X509.ClientCAFile = certs.CACert
	c.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeAlwaysAllow
	c.RotateCertificates = false
	c.ServerTLSBootstrap = false

	c.ContainerRuntimeEndpoint = "unix://" + layout.ContainerdSocket
	c.CgroupDriver = "cgroupfs"
	c.FailCgroupV1 = false
	c.FailSwapOn = false
	c.OOMScoreAdj = 0 // lowering it needs CAP_SYS_RESOURCE
	c.ProtectKernelDefaults = false
	c.MakeIPTablesUtilChains = false // kube-proxy runs on nftables
	c.EnforceNodeAllocatable = []string{"none"}

	c.ClusterDomain = layout.ClusterDomain
	c.ClusterDNS = []string{layout.DNSAddress}
	c.ResolverConfig = layout.ResolvConf
	c.MaxPods = maxPods
	c.PodPidsLimit = maxPIDs
	// One process of a sandbox that is out of memory takes no others with it, and
	// not the sandbox. On cgroup v1 it is never otherwise.
	c.SingleProcessOOMKill = new(true)
	// A pod whose image is still being imported would be tried again only after
	// a pause of ten seconds. It is not put on the node before, see importRest.
	c.RegisterWithTaints = []corev1.Taint{{Key: nodeapi.ImportTaint, Value: "importing", Effect: corev1.TaintEffectNoSchedule}}
	c.PodLogsDir = layout.PodLogDir
	c.SerializeImagePulls = false

	// Images and pods cannot be brought back once they are evicted: the health
	// check watches the disk instead.
	c.ImageGCHighThresholdPercent = 100
	c.ImageGCLowThresholdPercent = 99
	c.EvictionHard = map[string]string{
		"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%",
	}

	// One node has nobody to tell quickly that it is alive.
	c.NodeStatusUpdateFrequency = metav1.Duration{Duration: 30 * time.Second}
	c.NodeLeaseDurationSeconds = 240 // renewed every quarter of it
	c.SyncFrequency = metav1.Duration{Duration: time.Minute}
	c.VolumeStatsAggPeriod = metav1.Duration{Duration: 10 * time.Minute}
	c.RegistryPullQPS = 0
	c.KubeAPIQPS = 500
	c.KubeAPIBurst = 1000
}

func runKubelet(ctx context.Context, node layout.Node) error {
	for _, dir := range []string{layout.KubeletDir, layout.PodLogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("kubelet directory: %w", err)
		}
	}
	server, err := kubeletServer(node)
	if err != nil {
		return err
	}
	dependencies, err := kubelet.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return err
	}
	return kubelet.Run(ctx, server, dependencies, utilfeature.DefaultFeatureGate)
}
