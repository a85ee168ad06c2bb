// Package exposed tells the edge which ports of sandboxes are exposed, and at
// which addresses: the routes from the Kubernetes API, the addresses as the
// network plugin gave them out.
package exposed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"openshell.ai/openshell/deploy/node/internal/cni"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// retryEvery is the pause after something did not work.
const retryEvery = time.Second

// Exposer keeps the edge's file of routes like the cluster.
type Exposer struct {
	client    dynamic.Interface
	namespace string // of routes
	addresses string // directory, see cni.Addresses
	file      string
}

// New returns an exposer that speaks to the API of config.
func New(config *rest.Config) (*Exposer, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Exposer{client: client, namespace: sandboxapi.Namespace, addresses: layout.SandboxPodDir, file: edge.SandboxRoutes}, nil
}

// Run writes the file once the routes are known, and again whenever it would be
// another. It works on through every error until ctx ends.
func (e *Exposer) Run(ctx context.Context) error {
	changes := make(chan struct{}, 1)
	changed := func() {
		select {
		case changes <- struct{}{}:
		default: // it will be looked at anyway
		}
	}
	routes, err := e.watchRoutes(ctx, changed)
	if err != nil {
		return err
	}
	go watchDirectory(ctx, e.addresses, changed)
	for {
		var retry <-chan time.Time
		if err := e.update(routes()); err != nil {
			slog.Warn("the edge does not know the exposed ports yet", "error", err)
			retry = time.After(retryEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
		case <-retry:
		}
	}
}

// update writes the file if it would be another.
func (e *Exposer) update(objects []any) error {
	addresses, err := cni.Addresses(e.addresses)
	if err != nil {
		return err
	}
	content, err := json.Marshal(merge(objects, addresses))
	if err != nil {
		return err
	}
	content = append(content, '\n')
	// One that cannot be read is replaced.
	if old, err := os.ReadFile(e.file); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(e.file), 0o711); err != nil {
		return fmt.Errorf("exposed ports: %w", err)
	}
	return durable.WriteFile(e.file, content, 0o600)
}

// merge answers the full set. A route that no server of ours would have made is
// left out: the edge would refuse the whole set for it.
func merge(objects []any, addresses map[string]netip.Addr) []edge.SandboxRoute {
	set := []edge.SandboxRoute{} // [] rather than null
	for _, object := range objects {
		source, ok := object.(runtime.Unstructured)
		if !ok {
			continue
		}
		var r v1.Route
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(source.UnstructuredContent(), &r)
		port := r.Spec.Port
		if err != nil || edge.CheckHost(r.Name) != nil || r.Spec.SandboxID == "" || port < 1 || port > 65535 || port == sandboxapi.SSHPort {
			continue
		}
		set = append(set, edge.SandboxRoute{
			Host: r.Name, Sandbox: r.Spec.Sandbox, ID: r.Spec.SandboxID,
			IP:   addresses[r.Spec.SandboxID], // the pod is named by the sandbox's id
			Port: uint16(port),
		})
	}
	slices.SortFunc(set, func(a, b edge.SandboxRoute) int { return cmp.Compare(a.Host, b.Host) })
	return set
}
