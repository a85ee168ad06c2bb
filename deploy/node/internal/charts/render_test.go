package charts

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"openshell.ai/openshell/deploy/node/internal/images"
)

const chartOfTheRepository = "../../../helm/openshell"

var preloaded = images.Index{Images: []images.Image{
	{Name: "server", Ref: "openshell.internal/server:abc123"},
	{Name: "sandbox", Ref: "openshell.internal/sandbox:def456"},
}}

func helmChart(values string) HelmChart {
	var c HelmChart
	c.Metadata.Name = "openshell"
	c.Spec.Chart = chartOfTheRepository
	c.Spec.TargetNamespace = "openshell"
	c.Spec.ValuesContent = values
	return c
}

func find(objects []unstructured.Unstructured, kind string) *unstructured.Unstructured {
	for i := range objects {
		if objects[i].GetKind() == kind {
			return &objects[i]
		}
	}
	return nil
}

func TestRenderFillsInPreloadedImages(t *testing.T) {
	objects, err := render(helmChart("server:\n  sshHandshakeSecretName: other\n"), preloaded)
	if err != nil {
		t.Fatal(err)
	}
	set := find(objects, "StatefulSet")
	if set == nil {
		t.Fatal("no StatefulSet")
	}
	if set.GetNamespace() != "openshell" {
		t.Errorf("namespace is %q", set.GetNamespace())
	}
	containers, _, err := unstructured.NestedSlice(set.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	if got := containers[0].(map[string]any)["image"]; got != "openshell.internal/server:abc123" {
		t.Errorf("image is %v", got)
	}
	data, err := set.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"name":"other"`) {
		t.Error("the manifest's values were not used")
	}
}

// What an object needs comes before it: an account before its pods.
func TestRenderOrder(t *testing.T) {
	objects, err := render(helmChart(""), preloaded)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, o := range objects {
		at[o.GetKind()] = i
	}
	if at["ServiceAccount"] > at["StatefulSet"] || at["Role"] > at["RoleBinding"] {
		t.Errorf("order is %v", at)
	}
}

func TestFingerprintFollowsTheContent(t *testing.T) {
	sum := func(values string) string {
		t.Helper()
		objects, err := render(helmChart(values), preloaded)
		if err != nil {
			t.Fatal(err)
		}
		s, err := fingerprint(objects)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if again := sum(""); sum("") != again {
		t.Error("the same input gives two fingerprints")
	}
	if sum("") == sum("server:\n  sshHandshakeSecretName: other\n") {
		t.Error("other values give the same fingerprint")
	}
}

func TestRenderErrorsNameTheCause(t *testing.T) {
	for name, test := range map[string]struct {
		chart HelmChart
		index images.Index
		want  string
	}{
		"values of a wrong type":  {helmChart("server:\n  disableTls: maybe\n"), preloaded, "disableTls"},
		"values that are no YAML": {helmChart(":\n\t- x"), preloaded, "values of chart openshell"},
		"no server image":         {helmChart(""), images.Index{}, "image server"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(test.chart, test.index)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want it to name %q", err, test.want)
			}
		})
	}
}

func TestDecodeLeavesOutEmptyDocuments(t *testing.T) {
	objects, err := decode([]byte("---\n# only a comment\n---\nkind: A\n---\n\n---\nkind: B\n"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range objects {
		kinds = append(kinds, o.GetKind())
	}
	if diff := cmp.Diff([]string{"A", "B"}, kinds); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("kind: A\n---\nkind: B\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := decode(data)
		if err != nil {
			return
		}
		for _, o := range objects {
			if len(o.Object) == 0 {
				t.Error("an empty object was returned")
			}
		}
	})
}
