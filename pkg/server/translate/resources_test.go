package translate

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestResources(t *testing.T) {
	list := func(pairs ...string) corev1.ResourceList {
		l := corev1.ResourceList{}
		for i := 0; i < len(pairs); i += 2 {
			l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
		}
		return l
	}
	for _, tt := range []struct {
		name, json string
		want       corev1.ResourceRequirements
		field, say string // of the error; empty: none
	}{
		{name: "nothing", json: `{}`},
		{name: "numbers", json: `{"limits": {"cpu": 2, "memory": 67108864}}`, want: corev1.ResourceRequirements{Limits: list("cpu", "2", "memory", "64Mi")}},
		{name: "text", json: `{"limits": {"cpu": "0.5", "memory": "1Gi", "ephemeral-storage": "2G"}, "requests": {"memory": "512Mi"}}`, want: corev1.ResourceRequirements{
			Limits: list("cpu", "500m", "memory", "1Gi", "ephemeral-storage", "2G"), Requests: list("memory", "512Mi"),
		}},
		{name: "request equal to the limit", json: `{"limits": {"cpu": 1}, "requests": {"cpu": "1000m"}}`, want: corev1.ResourceRequirements{Limits: list("cpu", "1"), Requests: list("cpu", "1")}},

		{name: "member of another name", json: `{"claims": []}`, field: "spec.template.resources", say: `"claims"`},
		{name: "no object", json: `{"limits": "2"}`, field: "spec.template.resources.limits", say: "object"},
		{name: "null", json: `{"limits": null}`, field: "spec.template.resources.limits", say: "object"},
		{name: "another resource", json: `{"limits": {"nvidia.com/gpu": 1}}`, field: "spec.template.resources.limits", say: "cpu, memory or ephemeral-storage"},
		{name: "boolean", json: `{"limits": {"cpu": true}}`, field: "spec.template.resources.limits.cpu", say: "cores"},
		{name: "no amount", json: `{"limits": {"memory": "much"}}`, field: "spec.template.resources.limits.memory", say: "512Mi"},
		{name: "empty", json: `{"limits": {"memory": ""}}`, field: "spec.template.resources.limits.memory", say: "512Mi"},
		{name: "another unit", json: `{"limits": {"memory": "4GB"}}`, field: "spec.template.resources.limits.memory", say: "512Mi"},
		{name: "exponent", json: `{"limits": {"cpu": "1e9999999"}}`, field: "spec.template.resources.limits.cpu", say: "cores"},
		{name: "negative", json: `{"limits": {"cpu": -1}}`, field: "spec.template.resources.limits.cpu", say: "cores"},
		{name: "none", json: `{"requests": {"cpu": 0}}`, field: "spec.template.resources.requests.cpu", say: "less than 10m"},
		{name: "too little memory", json: `{"limits": {"memory": "1Mi"}}`, field: "spec.template.resources.limits.memory", say: "less than 32Mi"},
		{name: "more than there is", json: `{"limits": {"memory": "9999Pi"}}`, field: "spec.template.resources.limits.memory", say: "more than 1Pi"},
		{name: "huge number", json: `{"limits": {"cpu": 1e300}}`, field: "spec.template.resources.limits.cpu", say: "cores"},
		{name: "request over the limit", json: `{"limits": {"cpu": 1}, "requests": {"cpu": 2}}`, field: "spec.template.resources.requests.cpu", say: "more than the limit 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s structpb.Struct
			if err := protojson.Unmarshal([]byte(tt.json), &s); err != nil {
				t.Fatal(err)
			}
			got, err := Resources(&s)
			if (err == nil) != (tt.field == "") || err != nil && (err.Field != tt.field || !strings.Contains(err.Problem, tt.say)) {
				t.Fatalf("Resources() error = %v, want one about %q with %q", err, tt.field, tt.say)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(resource.Quantity.Equal)); diff != "" {
				t.Errorf("Resources() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResourcesThatJSONCannotWrite(t *testing.T) {
	for _, number := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64} {
		s := &structpb.Struct{Fields: map[string]*structpb.Value{"limits": structpb.NewStructValue(&structpb.Struct{
			Fields: map[string]*structpb.Value{"cpu": structpb.NewNumberValue(number)},
		})}}
		if got, err := Resources(s); err == nil {
			t.Errorf("Resources(%v) = %v", number, got)
		}
	}
	if _, err := Resources(&structpb.Struct{Fields: map[string]*structpb.Value{"limits": nil}}); err == nil {
		t.Error("a missing value was accepted")
	}
}

// What is accepted has the bounds of a sandbox, and comes back as it went in.
func FuzzResources(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"limits":{"cpu":2,"memory":"4Gi"}}`, `{"requests":{"cpu":"500m"},"limits":{"cpu":"1.5"}}`,
		`{"limits":{"cpu":"1e3"}}`, `{"limits":[]}`, `{"limits":{"memory":1e30}}`, `{"limits":{"memory":"0.0000001Pi"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var s structpb.Struct
		if protojson.Unmarshal(document, &s) != nil {
			return
		}
		got, err := Resources(&s)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Errorf("long error: %v", err)
			}
			return
		}
		for _, list := range []corev1.ResourceList{got.Limits, got.Requests} {
			for name, q := range list {
				if b, known := boundsOf(string(name)); !known || q.Cmp(b.least) < 0 || q.Cmp(b.most) > 0 {
					t.Errorf("accepted %s of %s", q.String(), name)
				}
			}
		}
		again, err := Resources(resources(got))
		if err != nil {
			t.Fatalf("what was accepted is refused the second time: %v", err)
		}
		if diff := cmp.Diff(noEmpty(got), noEmpty(again), cmp.Comparer(resource.Quantity.Equal)); diff != "" {
			t.Errorf("there and back again (-want +got):\n%s", diff)
		}
	})
}

func noEmpty(r corev1.ResourceRequirements) corev1.ResourceRequirements {
	if len(r.Limits) == 0 {
		r.Limits = nil
	}
	if len(r.Requests) == 0 {
		r.Requests = nil
	}
	return r
}
