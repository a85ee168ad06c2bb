package exposed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"

	"openshell.ai/openshell/pkg/edge"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func resource() schema.GroupVersionResource { return v1.GroupVersion().WithResource("routes") }

func route(host, sandbox string, port int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "openshell.ai/v1", "kind": "Route",
		"metadata": map[string]any{"name": host, "namespace": sandboxapi.Namespace},
		"spec":     map[string]any{"sandbox": sandbox, "sandboxID": "id-of-" + sandbox, "port": port},
	}}
}

// node is an exposer and its surroundings.
type node struct {
	*Exposer
	t    *testing.T
	fake *fake.FakeDynamicClient
}

func newNode(t *testing.T, objects ...runtime.Object) *node {
	t.Helper()
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{resource(): "RouteList"}, objects...)
	dir := t.TempDir()
	return &node{t: t, fake: client, Exposer: &Exposer{
		client: client, namespace: sandboxapi.Namespace, addresses: filepath.Join(dir, "addresses"), file: filepath.Join(dir, "edge", "routes.json"),
	}}
}

func (n *node) start() {
	ctx, cancel := context.WithCancel(n.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	n.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			n.t.Error(err)
		}
	})
}

func (n *node) routes() dynamic.ResourceInterface {
	return n.fake.Resource(resource()).Namespace(sandboxapi.Namespace)
}

// give writes the address of a sandbox's pod down as the plugin does.
func (n *node) give(sandbox, address string) {
	n.t.Helper()
	must(n.t, os.MkdirAll(n.addresses, 0o700))
	must(n.t, os.WriteFile(filepath.Join(n.addresses, sandbox), fmt.Appendf(nil, `{"pod":"id-of-%s","address":%q}`, sandbox, address), 0o600))
}

// want waits until the file holds these routes: "host sandbox address:port".
func (n *node) want(want ...string) {
	n.t.Helper()
	var got []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		content, err := os.ReadFile(n.file)
		if err != nil {
			continue
		}
		var set []edge.SandboxRoute
		must(n.t, json.Unmarshal(content, &set)) // it is never half written
		got = nil
		for _, r := range set {
			got = append(got, fmt.Sprintf("%s %s %s:%d", r.Host, r.Sandbox, r.IP, r.Port))
		}
		if cmp.Equal(want, got) && set != nil {
			return
		}
	}
	n.t.Fatalf("routes (-want +got):\n%s", cmp.Diff(want, got))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheFileFollowsRoutesAndAddresses(t *testing.T) {
	n := newNode(t, route("shop", "box", 8000))
	n.start()
	n.want("shop box invalid IP:8000") // known, without an address
	n.give("box", "10.0.0.5")
	n.want("shop box 10.0.0.5:8000")
	_, err := n.routes().Create(t.Context(), route("api", "other", 3000), metav1.CreateOptions{})
	must(t, err)
	n.want("api other invalid IP:3000", "shop box 10.0.0.5:8000") // sorted
	n.give("box", "10.0.0.9")                                     // another pod
	n.want("api other invalid IP:3000", "shop box 10.0.0.9:8000")
	must(t, os.Remove(filepath.Join(n.addresses, "box")))
	n.want("api other invalid IP:3000", "shop box invalid IP:8000")
	must(t, n.routes().Delete(t.Context(), "shop", metav1.DeleteOptions{}))
	must(t, n.routes().Delete(t.Context(), "api", metav1.DeleteOptions{}))
	n.want()
}

// The definition of the resource comes with the chart, some time after the node.
func TestAResourceThatIsNotThereYetIsWaitedFor(t *testing.T) {
	n := newNode(t, route("shop", "box", 8000))
	var asked atomic.Int32
	n.fake.PrependReactor("list", "routes", func(k8stesting.Action) (bool, runtime.Object, error) {
		if asked.Add(1) == 1 {
			return true, nil, apierrors.NewNotFound(resource().GroupResource(), "")
		}
		return false, nil, nil
	})
	must(t, os.MkdirAll(filepath.Dir(n.file), 0o700))
	before := `[{"host":"old","sandbox":"old","id":"old","port":1}]` + "\n"
	must(t, os.WriteFile(n.file, []byte(before), 0o600))
	n.start()
	for asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if content, err := os.ReadFile(n.file); err != nil || string(content) != before {
		t.Errorf("what is not known was written: %s, %v", content, err)
	}
	n.want("shop box invalid IP:8000")
}

func TestAnUnchangedFileIsLeftAlone(t *testing.T) {
	n := newNode(t)
	routes := []any{route("shop", "box", 8000)}
	must(t, n.update(routes))
	first, err := os.Stat(n.file)
	must(t, err)
	must(t, n.update(routes))
	second, err := os.Stat(n.file)
	must(t, err)
	if !os.SameFile(first, second) {
		t.Error("it was written again")
	}
	n.give("box", "10.0.0.5")
	must(t, n.update(routes))
	third, err := os.Stat(n.file)
	must(t, err)
	if os.SameFile(first, third) || third.Mode().Perm() != 0o600 {
		t.Errorf("replaced: %v, mode %s", !os.SameFile(first, third), third.Mode())
	}
}

// The edge refuses a whole set for one bad route.
func TestRoutesThatNoServerMadeAreLeftOut(t *testing.T) {
	noID := route("no-id", "box", 80)
	unstructured.RemoveNestedField(noID.Object, "spec", "sandboxID")
	odd := route("odd", "box", 80)
	odd.Object["spec"] = "a string"
	got := merge([]any{
		route("a.b", "box", 80), route("collab", "box", 80), route("zero", "box", 0), route("large", "box", 65536),
		route("ssh", "box", sandboxapi.SSHPort), noID, odd, "no object", route("good", "box", 65535),
	}, map[string]netip.Addr{"id-of-box": netip.MustParseAddr("10.0.0.5")})
	want := []edge.SandboxRoute{{Host: "good", Sandbox: "box", ID: "id-of-box", IP: netip.MustParseAddr("10.0.0.5"), Port: 65535}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestADirectoryThatIsRemovedIsFoundAgain(t *testing.T) {
	n := newNode(t, route("shop", "box", 8000))
	n.start()
	n.give("box", "10.0.0.5")
	n.want("shop box 10.0.0.5:8000")
	must(t, os.RemoveAll(n.addresses))
	n.want("shop box invalid IP:8000")
	n.give("box", "10.0.0.6")
	n.want("shop box 10.0.0.6:8000")
}
