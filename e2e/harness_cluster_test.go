//go:build e2e || soak || bench

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Kubectl runs kubectl in the node; it must succeed. The output has no
// surrounding space.
func (g *Gateway) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return g.kubectl(t, "", args...)
}

// Apply applies manifests, in YAML or JSON.
func (g *Gateway) Apply(t testing.TB, manifests string) {
	t.Helper()
	g.kubectl(t, manifests, "apply", "-f", "-")
}

func (g *Gateway) kubectl(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	args = append([]string{"gateway", "kubectl", "--"}, args...)
	return strings.TrimSpace(g.run(t, stdin, openshellBin, args...).Exits(t, 0).Stdout)
}

// Sh runs a shell command in the node; it must succeed.
func (g *Gateway) Sh(t testing.TB, command string) string {
	t.Helper()
	return strings.TrimSpace(g.CLI(t, "gateway", "exec", "--", "sh", "-euc", command).Exits(t, 0).Stdout)
}

// Image is the reference of an image that comes with the node: pause, server
// or sandbox.
func (g *Gateway) Image(t testing.TB, name string) string {
	t.Helper()
	var index struct {
		Images []struct{ Name, Ref string }
	}
	if err := json.Unmarshal([]byte(g.Sh(t, "cat "+nodeapi.ImageDir+"/index.json")), &index); err != nil {
		t.Fatalf("index of images: %v", err)
	}
	for _, image := range index.Images {
		if image.Name == name {
			return image.Ref
		}
	}
	t.Fatalf("image %s is not in the index", name)
	return ""
}

// Objects are a cluster's objects by kind/namespace/name.
type Objects map[string]*unstructured.Unstructured

// Objects reads everything a gateway is made of, and what a user would add.
func (g *Gateway) Objects(t testing.TB) Objects {
	t.Helper()
	const kinds = "nodes,namespaces,persistentvolumes,persistentvolumeclaims,secrets,configmaps,serviceaccounts,services,statefulsets,pods"
	var list unstructured.UnstructuredList
	if err := list.UnmarshalJSON([]byte(g.Kubectl(t, "get", kinds, "--all-namespaces", "-o", "json"))); err != nil {
		t.Fatalf("objects of the cluster: %v", err)
	}
	objects := Objects{}
	for i := range list.Items {
		o := &list.Items[i]
		objects[fmt.Sprintf("%s/%s/%s", o.GetKind(), o.GetNamespace(), o.GetName())] = o
	}
	return objects
}

// Field is a field as text; empty if the object or the field is missing.
func (o Objects) Field(object string, path ...string) string {
	if o[object] == nil {
		return ""
	}
	value, found, err := unstructured.NestedFieldNoCopy(o[object].Object, path...)
	if !found || err != nil {
		return ""
	}
	return fmt.Sprint(value)
}

// Versions are the resource versions of the objects of these kinds.
func (o Objects) Versions(kinds ...string) map[string]string {
	versions := map[string]string{}
	for key, object := range o {
		for _, kind := range kinds {
			if object.GetKind() == kind {
				versions[key] = object.GetResourceVersion()
			}
		}
	}
	return versions
}

// Names of what Keep makes.
const (
	keptNamespace = "e2e"
	keptConfigMap = "ConfigMap/e2e/kept"
	keptClaim     = "PersistentVolumeClaim/e2e/kept"
)

const keptManifests = `
apiVersion: v1
kind: Namespace
metadata: {name: e2e}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, namespace: e2e}
data: {written: "by the test", lines: "one\ntwo\n"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept, namespace: e2e}
spec:
  storageClassName: openshell
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, namespace: e2e}
spec:
  restartPolicy: Never
  containers:
    - name: writer
      image: IMAGE
      imagePullPolicy: Never
      command: [bash, -euc]
      args:
        - |
          cd /data
          head -c 1000000 /dev/urandom >noise
          mkdir -p "a directory/deep" && echo kept >"a directory/deep/file"
          : >empty
          ln -s noise link
          sync
      volumeMounts: [{name: data, mountPath: /data}]
  volumes:
    - name: data
      persistentVolumeClaim: {claimName: kept}
`

// Keep puts into the cluster what a user could have there: a ConfigMap, and a
// claim with files written by a pod.
func (g *Gateway) Keep(t testing.TB) {
	t.Helper()
	g.Apply(t, strings.ReplaceAll(keptManifests, "IMAGE", g.Image(t, "sandbox")))
	g.Kubectl(t, "wait", "--namespace", keptNamespace, "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=120s")
}

// Fingerprint is what must survive whatever happens to a gateway.
type Fingerprint struct {
	Node      string // names of the Kubernetes nodes
	Endpoint  string
	Secrets   map[string]map[string]string // data in base64
	ConfigMap string
	Claim     Claim
	Files     []string // checksums of the files on the claim
}

// Claim is a persistent volume claim and its binding.
type Claim struct{ UID, Phase, Volume string }

// Fingerprint reads it from a gateway that Keep was called on.
func (g *Gateway) Fingerprint(t testing.TB) Fingerprint {
	t.Helper()
	objects := g.Objects(t)
	f := Fingerprint{Endpoint: g.Running(t).Endpoint, Secrets: map[string]map[string]string{}}
	for _, o := range objects {
		switch o.GetKind() {
		case "Node":
			f.Node += o.GetName()
		case "Secret":
			data, _, err := unstructured.NestedStringMap(o.Object, "data")
			if err != nil {
				t.Fatalf("secret %s: %v", o.GetName(), err)
			}
			f.Secrets[o.GetNamespace()+"/"+o.GetName()] = data
		}
	}
	f.ConfigMap = objects.Field(keptConfigMap, "data")
	f.Claim = Claim{
		UID:    objects.Field(keptClaim, "metadata", "uid"),
		Phase:  objects.Field(keptClaim, "status", "phase"),
		Volume: objects.Field(keptClaim, "spec", "volumeName"),
	}
	if path := objects.Field("PersistentVolume//"+f.Claim.Volume, "spec", "hostPath", "path"); path != "" {
		f.Files = strings.Split(g.Sh(t, fmt.Sprintf(
			`cd %s; find . -type f -exec sha256sum {} + | sort; find . -not -type f -printf '%%y %%p %%l\n' | sort`, path)), "\n")
	}
	if f.Claim.Phase != "Bound" || len(f.Files) < 3 || len(f.Secrets) < 5 || f.ConfigMap == "" {
		t.Fatalf("the gateway does not hold what Keep made: %d files, %d secrets, claim %+v", len(f.Files), len(f.Secrets), f.Claim)
	}
	return f
}

// Same ends the test unless the gateway is healthy and has the fingerprint.
func (g *Gateway) Same(t testing.TB, want Fingerprint) {
	t.Helper()
	if diff := cmp.Diff(want, g.Fingerprint(t)); diff != "" {
		t.Fatalf("not as it was (-before +after):\n%s", diff)
	}
}

// HandshakeSecret is the key of the Secret openshell-ssh-handshake.
func (g *Gateway) HandshakeSecret(t testing.TB) string {
	t.Helper()
	encoded := g.Kubectl(t, "get", "secret", "--namespace", k8s.NamespaceServer, "openshell-ssh-handshake", "-o", "jsonpath={.data.secret}")
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatalf("handshake secret: %v", err)
	}
	return string(bytes.TrimSpace(secret))
}
