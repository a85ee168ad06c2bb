package controlplane

import (
	"context"

	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlleroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
)

// enabled are the controllers that one node with our workloads needs. Each one
// left out is start-up time, memory and a timer that will not fire.
const enabled = "serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller," +
	"namespace-controller,garbage-collector-controller,pod-garbage-collector-controller," +
	"statefulset-controller,deployment-controller,replicaset-controller,job-controller,daemonset-controller,disruption-controller," +
	"endpointslice-controller,endpoints-controller,endpointslice-mirroring-controller," +
	"node-lifecycle-controller,taint-eviction-controller,resourcequota-controller," +
	"persistentvolume-binder-controller,persistentvolumeclaim-protection-controller,persistentvolume-protection-controller," +
	"persistentvolume-attach-detach-controller,ttl-after-finished-controller,clusterrole-aggregation-controller"

func controllerArgs(node layout.Node) []string {
	kubeconfig := layout.Kubeconfig(certs.Controllers)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--controllers=" + enabled,
		"--root-ca-file=" + certs.CACert,
		"--service-account-private-key-file=" + certs.TokenKey,
		"--service-cluster-ip-range=" + node.Settings.Network.ServiceCIDR.String(),
		"--cluster-cidr=" + node.Settings.Network.PodCIDR.String(),
		"--allocate-node-cidrs=false",
		// The node is the gateway: while it runs, its pods are never evicted
		// because a slow laptop missed some heartbeats.
		"--node-monitor-grace-period=10m",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--profiling=false",
	}
}

func runControllers(ctx context.Context, node layout.Node) error {
	opts, err := controlleroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	known, disabled, aliases := controllers.KnownControllers(), controllers.ControllersDisabledByDefault(), controllers.ControllerAliases()
	flags := opts.Flags(known, disabled, aliases)
	opts.ParsedFlags = &flags
	if err := parse(flags, controllerArgs(node)); err != nil {
		return err
	}
	config, err := opts.Config(ctx, known, disabled, aliases)
	if err != nil {
		return err
	}
	return controllers.Run(ctx, config.Complete())
}

func runScheduler(ctx context.Context) error {
	kubeconfig := layout.Kubeconfig(certs.Controllers)
	opts := scheduleroptions.NewOptions()
	err := parse(*opts.Flags, []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--profiling=false",
	})
	if err != nil {
		return err
	}
	config, sched, err := scheduler.Setup(ctx, opts)
	if err != nil {
		return err
	}
	return scheduler.Run(ctx, config, sched)
}
