package bootstrap

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
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

// opened lets a gateway's node say something and looks at the session.
func opened(t *testing.T, says string) (*Session, *closing, error) {
	t.Helper()
	f, id := runningContainer(t)
	stream := &closing{Reader: strings.NewReader(says)}
	f.OnExecStream(func(_ *dockertest.Fake, _ docker.Container, argv []string) (io.ReadWriteCloser, error) {
		if diff := cmp.Diff([]string{nodeapi.Binary, "dial", "session"}, argv); diff != "" {
			t.Error(diff)
		}
		return stream, nil
	})
	s, err := EngineConnector{Engine: f}.Open(t.Context(), id)
	return s, stream, err
}

// closing is a stream that knows whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Write(b []byte) (int, error) { return len(b), nil }
func (c *closing) Close() error                { c.closed = true; return nil }

func TestSessionBringsTheCredentialsAndTheConnection(t *testing.T) {
	s, stream, err := opened(t, `{"kubeconfig":"YXBpVmVyc2lvbjogdjE="}`+"\nwhat the API says")
	if err != nil || string(s.kubeconfig) != "apiVersion: v1" {
		t.Fatalf("%v, %v", s, err)
	}
	if rest, err := io.ReadAll(s.stream); err != nil || string(rest) != "what the API says" {
		t.Errorf("the connection continues with %q, %v", rest, err)
	}
	if _, err := (EngineConnector{}).Connect(t.Context(), s); err == nil || !stream.closed {
		t.Errorf("a kubeconfig without a cluster: %v, stream closed: %t", err, stream.closed)
	}
}

func TestSessionThatDoesNotBegin(t *testing.T) {
	for name, says := range map[string]string{
		"no line": "", "half a line": `{"kube`, "no JSON": "hello\n", "endless": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			s, stream, err := opened(t, says)
			if err == nil || s != nil {
				t.Fatalf("%v, %v", s, err)
			}
			if !stream.closed {
				t.Error("the stream was left open")
			}
		})
	}
}

// runningContainer is an engine with one running container.
func runningContainer(t *testing.T) (*dockertest.Fake, string) {
	t.Helper()
	f := dockertest.New()
	f.AddImage(nil, "node:1")
	id, err := f.CreateContainer(t.Context(), docker.ContainerSpec{Name: "node", Image: "node:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return f, id
}
