// Package controlplane runs etcd, the API server, the controller manager and
// the scheduler in one process, in the order of their readiness.
package controlplane

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/parts"
	"openshell.ai/openshell/deploy/node/internal/report"
	"openshell.ai/openshell/deploy/node/internal/storage"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	// closing is how long the API server may finish requests. What it
	// acknowledged is in etcd already.
	closing = 200 * time.Millisecond
)

// Run returns when ctx ends, nil, or when a component does, its error.
func Run(ctx context.Context, node layout.Node, reporter *report.Reporter) (err error) {
	prepared := sync.OnceValues(func() (*apiserver.Config, error) { return prepareAPIServer(ctx, node) })
	go func() { _, _ = prepared() }() // its error is met below
	etcd, err := startEtcd(ctx, node.Settings.Initialized != nil, reporter.Failure)
	if err != nil {
		return err
	}
	reporter.Milestone(nodeapi.Etcd)
	keeper := newKeeper(etcd)
	defer func() {
		// Clients that lose their etcd would fill the log with it.
		klog.SetLogger(logr.Discard())
		if err == nil {
			snapshotAtStop(keeper)
		}
		etcd.Close()
	}()

	running := parts.New(ctx)
	defer running.Stop(closing)
	running.Run("kube-apiserver", func(ctx context.Context) error {
		config, err := prepared()
		if err != nil {
			return err
		}
		return runAPIServer(ctx, config)
	})

	config, err := clientcmd.BuildConfigFromFlags("", layout.Kubeconfig(certs.Controllers))
	if err != nil {
		return err
	}
	config.QPS = -1
	if err := parts.WaitReadable(ctx, config, running.Ended()); err != nil {
		return err
	}
	reporter.Milestone(nodeapi.API)

	running.Run("kube-controller-manager", func(ctx context.Context) error {
		if err := parts.WaitHealthy(ctx, config); err != nil {
			return err
		}
		return runControllers(ctx, node)
	})
	running.Run("kube-scheduler", runScheduler)
	running.Run("snapshots", keeper.Run)
	running.Run("storage", func(ctx context.Context) error { return storage.Run(ctx, config) })

	select {
	case err := <-running.Ended():
		return err
	case err := <-etcd.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-ctx.Done():
		return nil
	}
}
