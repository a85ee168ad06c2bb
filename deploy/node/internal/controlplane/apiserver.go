package controlplane

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/component-base/cli/flag"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
)

// parse sets the flags of a component as its command line would. The commands
// themselves cannot be used: each installs a signal handler, of which a process
// may have one.
func parse(sets flag.NamedFlagSets, args []string) error {
	all := pflag.NewFlagSet("component", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		all.AddFlagSet(set)
	}
	return all.Parse(args)
}

func apiServerArgs(node layout.Node) []string {
	return []string{
		"--etcd-servers=unix://" + layout.EtcdSocket,
		"--etcd-compaction-interval=0", // etcd compacts by itself
		"--advertise-address=" + node.IP.String(),
		"--bind-address=0.0.0.0",
		fmt.Sprintf("--secure-port=%d", nodeapi.APIServerPort),
		"--tls-cert-file=" + layout.Cert(certs.APIServer),
		"--tls-private-key-file=" + layout.Key(certs.APIServer),
		"--client-ca-file=" + certs.CACert,
		"--kubelet-client-certificate=" + layout.Cert(certs.APIServerKubelet),
		"--kubelet-client-key=" + layout.Key(certs.APIServerKubelet),
		"--kubelet-certificate-authority=" + certs.CACert,
		// The node's name is in no DNS.
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc." + layout.ClusterDomain,
		"--service-account-key-file=" + certs.TokenKey,
		"--service-account-signing-key-file=" + certs.TokenKey,
		"--service-cluster-ip-range=" + node.Settings.Network.ServiceCIDR.String(),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--anonymous-auth=false",
		// One user's few clients need no fair queueing, nor the objects it keeps.
		"--enable-priority-and-fairness=false",
		"--profiling=false",
		"--allow-privileged=false",
		// Without their controllers, objects of these would do nothing.
		"--runtime-config=autoscaling/v1=false,autoscaling/v2=false,certificates.k8s.io/v1=false,flowcontrol.apiserver.k8s.io/v1=false",
		"--endpoint-reconciler-type=lease",
		"--event-ttl=1h",
		"--shutdown-delay-duration=0s",
	}
}

// prepareAPIServer does what needs no etcd: most of it is a key pair for
// connections of the API server to itself.
func prepareAPIServer(ctx context.Context, node layout.Node) (*apiserver.Config, error) {
	opts := options.NewServerRunOptions()
	if err := parse(opts.Flags(), apiServerArgs(node)); err != nil {
		return nil, err
	}
	if err := opts.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	completed, err := opts.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	return apiserver.NewConfig(completed)
}

func runAPIServer(ctx context.Context, config *apiserver.Config) error {
	described := postponeOpenAPIv2(config)
	completed, err := config.Complete()
	if err != nil {
		return err
	}
	server, err := apiserver.CreateServerChain(completed)
	if err != nil {
		return err
	}
	if err := described.install(server.GenericAPIServer.NextDelegate()); err != nil {
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		return err
	}
	return prepared.Run(ctx)
}
