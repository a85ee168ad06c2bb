// Package k8s is the part of the Kubernetes API a gateway needs, reached
// through any byte stream to it. Everything it returns is a plain value;
// client-go and its error classes stay inside.
package k8s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Namespaces of a gateway.
const (
	NamespaceServer    = "openshell"           // the gateway server and its Secrets
	NamespaceSystem    = "openshell-system"    // what the server may not read
	NamespaceSandboxes = "openshell-sandboxes" // one pod per sandbox
)

// fieldManager owns the fields this package writes. It differs from the one
// that applies the chart, so that neither removes what the other set.
const fieldManager = "openshell-cli"

// ErrConflict is in the chain of an error when somebody else created, changed
// or deleted the object since it was read.
var ErrConflict = errors.New("changed by somebody else in between")

// Namespaces are all namespaces of a gateway.
func Namespaces() []string {
	return []string{NamespaceServer, NamespaceSystem, NamespaceSandboxes}
}

// Cluster is one gateway's Kubernetes cluster.
type Cluster struct {
	client kubernetes.Interface
	http   *http.Client // nil for a client made elsewhere
	host   string       // base URL
	cancel context.CancelFunc
}

// NewForClient is a Cluster over a given client. It knows no server time.
func NewForClient(client kubernetes.Interface) *Cluster {
	return &Cluster{client: client, cancel: func() {}}
}

// Close ends every connection to the cluster.
func (c *Cluster) Close() error {
	c.cancel()
	return nil
}

// WaitReadable returns once the API answers a read. It retries only while no
// answer comes at all or the API says that it is not serving yet; any other
// answer, and a certificate that does not verify, is returned at once. It
// waits until ctx ends.
func (c *Cluster) WaitReadable(ctx context.Context) error {
	const maxPause = 500 * time.Millisecond
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		_, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil {
			return nil
		}
		if !notServingYet(err) {
			return fmt.Errorf("kubernetes API: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kubernetes API: %w (last answer: %w)", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// ServerTime is the cluster's clock as of the answer, to the second.
func (c *Cluster) ServerTime(ctx context.Context) (time.Time, error) {
	if c.http == nil {
		return time.Time{}, errors.New("kubernetes server time: no connection of our own")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+"/version", nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("kubernetes server time: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("kubernetes server time: %w", err)
	}
	defer resp.Body.Close()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("kubernetes server time: %w", err)
	}
	return at, nil
}

// EnsureNamespaces creates those that do not exist and says which.
func (c *Cluster) EnsureNamespaces(ctx context.Context, names ...string) (created []string, err error) {
	list, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("kubernetes namespaces: %w", err)
	}
	phase := make(map[string]corev1.NamespacePhase, len(list.Items))
	for _, ns := range list.Items {
		phase[ns.Name] = ns.Status.Phase
	}
	for _, name := range names {
		if p, ok := phase[name]; ok {
			if p == corev1.NamespaceTerminating {
				return created, fmt.Errorf("kubernetes namespace %s: is being deleted", name)
			}
			continue
		}
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := c.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{FieldManager: fieldManager})
		switch {
		case err == nil:
			created = append(created, name)
		case !apierrors.IsAlreadyExists(err):
			return created, fmt.Errorf("kubernetes namespace %s: %w", name, err)
		}
	}
	return created, nil
}

// DeleteStaleNodes deletes the Node objects other than keep, left by a
// container of another hostname. It deletes nothing else: volumes and claims
// outlive their node.
func (c *Cluster) DeleteStaleNodes(ctx context.Context, keep string) (deleted []string, err error) {
	list, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("kubernetes nodes: %w", err)
	}
	for _, node := range list.Items {
		if node.Name == keep {
			continue
		}
		uid := node.UID
		err := c.client.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			return deleted, fmt.Errorf("kubernetes node %s: %w", node.Name, err)
		}
		deleted = append(deleted, node.Name)
	}
	return deleted, nil
}
