// Package helm_test renders the chart with Helm's engine and checks the result.
// It is a module of its own so that the main one stays free of Helm.
package helm_test

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

const (
	chartDir     = "../../deploy/helm/openshell"
	manifestPath = "../../deploy/kube/manifests/openshell-helmchart.yaml"
)

// objects are the chart's objects, decoded strictly: an unknown field is an error.
type objects struct {
	text               string
	StatefulSet        appsv1.StatefulSet
	Service            corev1.Service
	Hints              corev1.Service // where supervisors say that they are up
	ServiceAccount     corev1.ServiceAccount
	Role               rbacv1.Role
	RoleBinding        rbacv1.RoleBinding
	ClusterRole        rbacv1.ClusterRole
	ClusterRoleBinding rbacv1.ClusterRoleBinding
	NetworkPolicy      networkingv1.NetworkPolicy
}

// templates does what `helm template RELEASE` does and returns one YAML stream.
func templates(release, namespace string, values map[string]any) (string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return "", err
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	merged, err := chartutil.ToRenderValues(chart, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(chart, merged)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(files[name]) != "" {
			out.WriteString("---\n" + strings.TrimSpace(files[name]) + "\n")
		}
	}
	return out.String(), nil
}

func render(t *testing.T, release string, values map[string]any) objects {
	t.Helper()
	text, err := templates(release, "openshell", values)
	if err != nil {
		t.Fatal(err)
	}
	o := objects{text: text}
	kinds := map[string]any{
		"StatefulSet": &o.StatefulSet, "Service": &o.Service, "ServiceAccount": &o.ServiceAccount,
		"Role": &o.Role, "RoleBinding": &o.RoleBinding, "NetworkPolicy": &o.NetworkPolicy,
		"ClusterRole": &o.ClusterRole, "ClusterRoleBinding": &o.ClusterRoleBinding, "Service of hints": &o.Hints,
	}
	reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		doc, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := strict.Unmarshal(doc, &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == "Service" && strings.HasSuffix(head.Metadata.Name, "-hints") {
			head.Kind += " of hints"
		}
		into, ok := kinds[head.Kind]
		if !ok {
			t.Fatalf("the chart holds an unexpected %q, or a second one", head.Kind)
		}
		delete(kinds, head.Kind)
		if err := strict.UnmarshalStrict(bytes.TrimSpace(doc), into); err != nil {
			t.Fatalf("%s: %v", head.Kind, err)
		}
	}
	if len(kinds) > 0 {
		t.Fatalf("the chart lacks %v", slices.Sorted(maps.Keys(kinds)))
	}
	return o
}
