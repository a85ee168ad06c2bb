package bootstrap

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/pkg/bootstrap/reconcile"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/pki"
)

const rolloutPoll = 100 * time.Millisecond

// EngineConnector reaches the Kubernetes API by exec in the container, so that
// no port of it is published.
type EngineConnector struct{ Engine docker.Engine }

// Credentials implements Connector: a kubeconfig.
func (c EngineConnector) Credentials(ctx context.Context, container string) ([]byte, error) {
	return c.Engine.ReadFile(ctx, container, nodeapi.AdminKubeconfig)
}

// Connect implements Connector. The connection lives until ctx ends or Close.
func (c EngineConnector) Connect(ctx context.Context, container string, kubeconfig []byte) (Cluster, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		stream, err := c.Engine.ExecStream(ctx, container, []string{nodeapi.Binary, nodeapi.CmdDial, "api"})
		if err != nil {
			return nil, err
		}
		return k8s.StreamConn(stream), nil
	}
	cluster, err := k8s.Connect(ctx, dial, kubeconfig)
	if err != nil {
		return nil, err
	}
	return liveCluster{cluster}, nil
}

type liveCluster struct{ *k8s.Cluster }

// Reconcile implements Cluster. Namespaces come before what lives in them; the
// records of nodes have to do with neither.
func (c liveCluster) Reconcile(ctx context.Context, want ClusterWant) (ClusterResult, error) {
	if err := c.WaitReadable(ctx); err != nil {
		return ClusterResult{}, err
	}
	var out ClusterResult
	var nodes []string
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		nodes, err = c.DeleteStaleNodes(ctx, want.NodeName)
		return err
	})
	g.Go(func() error {
		created, err := c.EnsureNamespaces(ctx, k8s.Namespaces()...)
		for _, name := range created {
			out.Changed = append(out.Changed, "namespace "+name)
		}
		if err != nil {
			return err
		}
		secrets, err := reconcile.Run(ctx, c.Cluster, reconcile.Want{SANs: pki.DefaultServerSANs(want.Hosts), Now: time.Now()})
		for _, s := range secrets.Secrets {
			if s.Changed {
				out.Changed = append(out.Changed, fmt.Sprintf("secret %s/%s: %s", s.Namespace, s.Name, s.Cause))
			}
		}
		if err != nil {
			return err
		}
		out.Warnings = secrets.Warnings
		out.Bundle = hostconfig.Bundle{CA: secrets.Bundle.CA, Cert: secrets.Bundle.Cert, Key: secrets.Bundle.Key}
		out.Rolled = secrets.RolledOut
		if out.Rolled {
			return c.awaitRollout(ctx)
		}
		return nil
	})
	err := g.Wait()
	for _, name := range nodes {
		out.Changed = append(out.Changed, "stale node "+name)
	}
	return out, err
}

// awaitRollout waits until the pods are those of the latest revision.
func (c liveCluster) awaitRollout(ctx context.Context) error {
	for {
		w, found, err := c.Workload(ctx)
		if err != nil || !found || w.Ready {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("restart of the gateway server: %w: %s", context.Cause(ctx), w.Reason)
		case <-time.After(rolloutPoll):
		}
	}
}
