package charts

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"openshell.ai/openshell/deploy/node/internal/images"
)

// render returns the chart's objects in the order to apply them.
func render(chart HelmChart, index images.Index) ([]unstructured.Unstructured, error) {
	dir, err := chartDir(chart)
	if err != nil {
		return nil, err
	}
	loaded, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	values, err := valuesOf(chart, index)
	if err != nil {
		return nil, err
	}
	rendered, err := chartutil.ToRenderValues(loaded, values,
		chartutil.ReleaseOptions{Name: chart.Metadata.Name, Namespace: chart.Spec.TargetNamespace, Revision: 1, IsInstall: true},
		chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(loaded, rendered)
	if err != nil {
		return nil, err
	}
	var objects []unstructured.Unstructured
	for _, crd := range loaded.CRDObjects() {
		decoded, err := decode(crd.File.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", crd.Filename, err)
		}
		objects = append(objects, decoded...)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		decoded, err := decode([]byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects = append(objects, decoded...)
	}
	for i := range objects {
		if objects[i].GetNamespace() == "" && namespaced(objects[i].GetKind()) {
			objects[i].SetNamespace(chart.Spec.TargetNamespace)
		}
	}
	order := installOrder()
	slices.SortStableFunc(objects, func(a, b unstructured.Unstructured) int {
		return order[a.GetKind()] - order[b.GetKind()]
	})
	return objects, nil
}

// valuesOf are the manifest's values with the preloaded images filled in.
func valuesOf(chart HelmChart, index images.Index) (map[string]any, error) {
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(chart.Spec.ValuesContent), &values); err != nil {
		return nil, fmt.Errorf("values of chart %s: %w", chart.Metadata.Name, err)
	}
	server, err := index.Find(images.Server)
	if err != nil {
		return nil, err
	}
	sandbox, err := index.Find(images.Sandbox)
	if err != nil {
		return nil, err
	}
	repository, tag, _ := strings.Cut(server.Ref, ":")
	preloaded := map[string]any{
		"image":  map[string]any{"repository": repository, "tag": tag},
		"server": map[string]any{"sandboxImage": sandbox.Ref},
	}
	return chartutil.CoalesceTables(preloaded, values), nil
}

// installOrder ranks kinds as Helm does; kinds it does not know come last.
func installOrder() map[string]int {
	order := map[string]int{}
	for i, kind := range releaseutil.InstallOrder {
		order[kind] = i - len(releaseutil.InstallOrder)
	}
	return order
}

// namespaced covers the cluster-wide kinds a chart may hold.
func namespaced(kind string) bool {
	switch kind {
	case "Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "StorageClass", "PriorityClass", "PersistentVolume":
		return false
	}
	return true
}
