package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
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
type EngineConnector struct {
	Engine docker.Engine
	Wrap   func(http.RoundTripper) http.RoundTripper // of the requests to the API; nil: none
}

// Session is an open way to the Kubernetes API of a gateway.
type Session struct {
	Edge *nodeapi.Edge // how the edge was when it was opened; nil: the node does not say

	container  string
	kubeconfig []byte
	stream     io.ReadWriteCloser // to the API; nil once a connection has it
}

// Close ends a session that was not connected.
func (s *Session) Close() {
	if s != nil && s.stream != nil {
		// It ends a process that nobody has asked anything yet.
		_ = s.stream.Close()
	}
}

// Open implements Connector. The session outlives ctx.
func (c EngineConnector) Open(ctx context.Context, container string) (*Session, error) {
	stream, err := c.dial(context.WithoutCancel(ctx), container, "session")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	line, err := readLine(stream)
	if err != nil {
		_ = stream.Close()
		return nil, errors.Join(fmt.Errorf("session with the node: %w: %w", ErrNoAnswer, err), ctx.Err())
	}
	var hello nodeapi.Session
	if err := json.Unmarshal(line, &hello); err != nil {
		_ = stream.Close()
		return nil, errors.New("session with the node: what it says first is not readable")
	}
	return &Session{container: container, kubeconfig: hello.Kubeconfig, stream: stream, Edge: hello.Edge}, nil
}

func (c EngineConnector) dial(ctx context.Context, container, what string) (io.ReadWriteCloser, error) {
	return c.Engine.ExecStream(ctx, container, []string{nodeapi.Binary, nodeapi.CmdDial, what})
}

// readLine reads no byte beyond the line: those are the API's.
func readLine(r io.Reader) ([]byte, error) {
	const limit = 64 << 10
	line, one := make([]byte, 0, 8<<10), make([]byte, 1)
	for len(line) < limit {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		if one[0] == '\n' {
			return line, nil
		}
		line = append(line, one[0])
	}
	return nil, errors.New("the line is too long")
}

// Connect implements Connector. The connection lives until ctx ends or Close.
func (c EngineConnector) Connect(ctx context.Context, s *Session) (Cluster, error) {
	var first sync.Mutex
	dial := func(ctx context.Context) (net.Conn, error) {
		first.Lock()
		stream := s.stream
		s.stream = nil
		first.Unlock()
		if stream == nil {
			var err error
			if stream, err = c.dial(ctx, s.container, "api"); err != nil {
				return nil, err
			}
		}
		return k8s.StreamConn(stream), nil
	}
	cluster, err := k8s.Connect(ctx, dial, s.kubeconfig, c.Wrap)
	if err != nil {
		s.Close()
		return nil, err
	}
	return liveCluster{cluster}, nil
}

type liveCluster struct{ *k8s.Cluster }

// Reconcile implements Cluster.
func (c liveCluster) Reconcile(ctx context.Context, want ClusterWant) (ClusterResult, error) {
	result, err := c.reconcile(ctx, want)
	if k8s.Unanswered(err) {
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return result, err
}

// reconcile makes namespaces before what lives in them; the records of nodes
// have to do with neither.
func (c liveCluster) reconcile(ctx context.Context, want ClusterWant) (ClusterResult, error) {
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
		return nil
	})
	err := g.Wait()
	for _, name := range nodes {
		out.Changed = append(out.Changed, "stale node "+name)
	}
	return out, err
}

// AwaitRollout implements Cluster: it waits until the pods are those of the
// latest revision.
func (c liveCluster) AwaitRollout(ctx context.Context) error {
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
