package translate

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const resourcesField = "spec.template.resources"

// bounds of what a sandbox may ask for; what its node has is another matter.
type bounds struct {
	least, most resource.Quantity
	form        string
	fractions   bool // thousandths count; else whole ones
}

func boundsOf(name string) (bounds, bool) {
	b, ok := map[string]bounds{
		// The kernel's scheduler knows nothing less than a hundredth of a core.
		"cpu": {resource.MustParse("10m"), resource.MustParse("1k"), `cores, such as 2, "1.5" or "500m"`, true},
		// Less does not start a supervisor and a shell.
		"memory":            {resource.MustParse("32Mi"), resource.MustParse("1Pi"), `bytes, such as "512Mi" or "4Gi"`, false},
		"ephemeral-storage": {resource.MustParse("1Mi"), resource.MustParse("1Pi"), `bytes, such as "1Gi"`, false},
	}[name]
	return b, ok
}

// Resources reads {"limits": {"cpu": ..., "memory": ...}, "requests": {...}},
// with amounts as Kubernetes writes them. Errors are *Invalid and name the
// member at fault.
func Resources(s *structpb.Struct) (corev1.ResourceRequirements, *Invalid) {
	var r corev1.ResourceRequirements
	for _, name := range sorted(s.GetFields()) {
		var err *Invalid
		switch value := s.GetFields()[name]; name {
		case "limits":
			r.Limits, err = amounts(resourcesField+".limits", value)
		case "requests":
			r.Requests, err = amounts(resourcesField+".requests", value)
		default:
			err = invalid(resourcesField, "%s is not limits or requests", shown(name))
		}
		if err != nil {
			return corev1.ResourceRequirements{}, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		request := r.Requests[name]
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			return corev1.ResourceRequirements{}, invalid(resourcesField+".requests."+string(name), "%s is more than the limit %s", request.String(), limit.String())
		}
	}
	return r, nil
}

func amounts(field string, value *structpb.Value) (corev1.ResourceList, *Invalid) {
	object, ok := value.GetKind().(*structpb.Value_StructValue)
	if !ok {
		return nil, invalid(field, `it is not an object such as {"cpu": 2, "memory": "4Gi"}`)
	}
	list := corev1.ResourceList{}
	for _, name := range sorted(object.StructValue.GetFields()) {
		b, known := boundsOf(name)
		if !known {
			return nil, invalid(field, "%s is not cpu, memory or ephemeral-storage", shown(name))
		}
		q, err := amount(field+"."+name, object.StructValue.GetFields()[name], b)
		if err != nil {
			return nil, err
		}
		list[corev1.ResourceName(name)] = q
	}
	return list, nil
}

func amount(field string, value *structpb.Value, b bounds) (resource.Quantity, *Invalid) {
	text := ""
	switch kind := value.GetKind().(type) {
	case *structpb.Value_StringValue:
		text = kind.StringValue
	case *structpb.Value_NumberValue:
		if !math.IsInf(kind.NumberValue, 0) && !math.IsNaN(kind.NumberValue) {
			text = strconv.FormatFloat(kind.NumberValue, 'f', -1, 64)
		}
	}
	// Narrower than Kubernetes: no signs and no exponents, with which a few
	// characters make a number of any length.
	if len(text) > 32 || !regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$`).MatchString(text) {
		return resource.Quantity{}, invalid(field, "it is not an amount of %s", b.form)
	}
	q, err := resource.ParseQuantity(text)
	switch {
	case err != nil:
		return resource.Quantity{}, invalid(field, "it is not an amount of %s", b.form)
	case q.Cmp(b.least) < 0:
		return resource.Quantity{}, invalid(field, "%s is less than %s, the least that a sandbox can be run with", text, b.least.String())
	case q.Cmp(b.most) > 0:
		return resource.Quantity{}, invalid(field, "%s is more than %s", text, b.most.String())
	case b.fractions:
		return *resource.NewMilliQuantity(q.MilliValue(), q.Format), nil
	}
	return *resource.NewQuantity(q.Value(), q.Format), nil
}
