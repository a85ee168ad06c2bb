package kubenode

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"openshell.ai/openshell/deploy/node/internal/images"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/report"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	lookForServer = 50 * time.Millisecond
	retryImport   = 5 * time.Second
)

// importNeeded makes the images available that the gateway server needs.
func importNeeded(ctx context.Context, importer *images.Importer, reporter *report.Reporter) error {
	index, err := images.Load()
	if err != nil {
		return err
	}
	for _, name := range []string{images.Pause, images.Server} {
		image, err := index.Find(name)
		if err != nil {
			return err
		}
		if err := importer.Ensure(ctx, image); err != nil {
			return err
		}
	}
	reporter.Milestone(nodeapi.Images)
	return nil
}

// importRest makes the other images available once the server is up, so that a
// boot does not share the processors with them, and then lets every pod onto the
// node. It returns when ctx ends: nothing that goes wrong here stops the rest.
func importRest(ctx context.Context, config *rest.Config, importer *images.Importer, node layout.Node) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	awaitServer(ctx, node)
	for ctx.Err() == nil {
		began := time.Now()
		if err = importAll(ctx, importer); err == nil {
			err = admitPods(ctx, client, node.Name)
		}
		if err == nil {
			slog.Info("preloaded images are there", "after_ms", time.Since(began).Milliseconds())
			break
		}
		slog.Warn("preloaded images are not there yet", "error", err)
		pause(ctx, retryImport)
	}
	<-ctx.Done()
	return nil
}

func importAll(ctx context.Context, importer *images.Importer) error {
	index, err := images.Load()
	if err != nil {
		return err
	}
	for _, image := range index.Images {
		if err := importer.Ensure(ctx, image); err != nil {
			return err
		}
	}
	return nil
}

// awaitServer returns when the gateway's port accepts connections.
func awaitServer(ctx context.Context, node layout.Node) {
	address := net.JoinHostPort(node.IP.String(), strconv.Itoa(nodeapi.GatewayPort))
	dialer := net.Dialer{Timeout: time.Second}
	for ctx.Err() == nil {
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close() // nothing was said
			return
		}
		pause(ctx, lookForServer)
	}
}

// admitPods takes back the taint that the node was registered with.
func admitPods(ctx context.Context, client kubernetes.Interface, name string) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	kept := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(t corev1.Taint) bool { return t.Key == nodeapi.ImportTaint })
	if len(kept) == len(node.Spec.Taints) {
		return nil
	}
	node.Spec.Taints = kept
	if _, err := client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
