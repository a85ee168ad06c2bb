package bootstrap

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/pki"
)

func TestReconcileOfAnEmptyClusterThenOfACompleteOne(t *testing.T) {
	node := func(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	c := liveCluster{k8s.NewForClient(fake.NewClientset(node("openshell-cluster-dev"), node("an-older-hostname")))}
	want := ClusterWant{NodeName: "openshell-cluster-dev", Hosts: []string{"box.lan"}}

	first, err := c.Reconcile(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Changed) != 3+5+1 || first.Changed[len(first.Changed)-1] != "stale node an-older-hostname" {
		t.Errorf("changed: %q", first.Changed)
	}
	if _, err := clientTLS(first.Bundle); err != nil {
		t.Errorf("bundle: %v", err)
	}
	second, err := c.Reconcile(t.Context(), want)
	if err != nil || len(second.Changed) > 0 || second.Rolled {
		t.Errorf("second: %q, rolled %t, %v", second.Changed, second.Rolled, err)
	}
	if diff := cmp.Diff(first.Bundle, second.Bundle); diff != "" {
		t.Error(diff)
	}
	secret, found, err := c.Secret(t.Context(), k8s.NamespaceServer, "openshell-server-tls")
	if err != nil || !found {
		t.Fatalf("%t, %v", found, err)
	}
	sans, _, err := pki.Describe(secret.Data["tls.crt"])
	if err != nil || !slices.Contains(sans, "box.lan") {
		t.Errorf("SANs %v, %v", sans, err)
	}
}

func TestCredentialsAreTheNodesKubeconfig(t *testing.T) {
	f, id := runningContainer(t)
	f.PutFile(id, nodeapi.AdminKubeconfig, 0o600, []byte("apiVersion: v1"))
	c := EngineConnector{f}
	data, err := c.Credentials(t.Context(), id)
	if err != nil || string(data) != "apiVersion: v1" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := c.Connect(t.Context(), id, data); err == nil {
		t.Error("a kubeconfig without a cluster was accepted")
	}
	f.Kill(id)
	f.Remove(id)
	if _, err := c.Credentials(t.Context(), id); !docker.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}
