// Package kubenode runs what makes the container a Kubernetes node: the
// preloaded images, the kubelet, kube-proxy, the resolver of pods, and the
// charts. It needs containerd to listen; it waits for the API by itself.
package kubenode

import (
	"context"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/charts"
	"openshell.ai/openshell/deploy/node/internal/exposed"
	"openshell.ai/openshell/deploy/node/internal/images"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/parts"
	"openshell.ai/openshell/deploy/node/internal/report"
)

// closing is how long the components may take to end. Nothing they hold is
// lost: it is all in the API.
const closing = 200 * time.Millisecond

// Run returns when ctx ends and every container is stopped, nil, or when a
// component ends, its error.
func Run(ctx context.Context, node layout.Node, reporter *report.Reporter) error {
	config, err := clientcmd.BuildConfigFromFlags("", layout.Kubeconfig(certs.Controllers))
	if err != nil {
		return err
	}
	config.QPS = -1
	importer, err := images.NewImporter()
	if err != nil {
		return err
	}
	defer importer.Close()

	imported := make(chan error, 1)
	go func() { imported <- importNeeded(ctx, importer, reporter) }()

	running := parts.New(ctx)
	if err := parts.WaitReadable(ctx, config, running.Ended()); err != nil {
		return err
	}
	loggerKept := make(chan struct{})
	running.Run("dns", func(ctx context.Context) error { return runDNS(ctx, loggerKept) })
	select {
	case <-loggerKept:
	case err := <-running.Ended():
		return err
	}
	running.Run("kube-proxy", func(ctx context.Context) error { return runProxy(ctx, node) })
	// A pod whose image is not there yet would be retried with a back-off.
	if err := <-imported; err != nil {
		return err
	}
	running.Run("kubelet", func(ctx context.Context) error { return runKubelet(ctx, node) })
	deployer, err := charts.New(config, importer, reporter)
	if err != nil {
		return err
	}
	running.Run("charts", deployer.Run)
	exposer, err := exposed.New(config)
	if err != nil {
		return err
	}
	running.Run("routes", exposer.Run)
	running.Run("images", func(ctx context.Context) error { return importRest(ctx, config, importer, node) })

	select {
	case err = <-running.Ended():
	case <-ctx.Done():
	}
	running.Stop(closing)
	if ctx.Err() != nil {
		stopContainers()
	}
	return err
}
