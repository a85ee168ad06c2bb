package translate

import (
	"strings"

	"github.com/distribution/reference"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// ownDomain of labels and annotations is the gateway's.
const ownDomain = "openshell.ai"

func image(name, byDefault string) (string, *Invalid) {
	const field = "spec.template.image"
	if name == "" {
		if byDefault == "" {
			return "", invalid(field, "it is empty, and this gateway has no image of its own to take instead")
		}
		return byDefault, nil
	}
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return "", invalid(field, "%s is not an image reference such as debian:12 or registry.example/team/image@sha256:…", shown(name))
	}
	return name, nil
}

func checkMetadata(template *datamodelv1.SandboxTemplate) *Invalid {
	const labels, annotations = "spec.template.labels", "spec.template.annotations"
	for _, key := range sorted(template.GetLabels()) {
		value := template.GetLabels()[key]
		if err := checkKey(labels, key); err != nil {
			return err
		}
		if len(validation.IsValidLabelValue(value)) > 0 {
			return invalid(labels, "%s of %s is not at most 63 letters, digits, dashes, underscores or dots, with a letter or digit at both ends",
				shown(value), shown(key))
		}
	}
	total := 0
	for _, key := range sorted(template.GetAnnotations()) {
		value := template.GetAnnotations()[key]
		total += len(key) + len(value)
		if key == sandboxapi.AnnotationImage {
			continue
		}
		if err := checkKey(annotations, key); err != nil {
			return err
		}
	}
	if total > apivalidation.TotalAnnotationSizeLimitB {
		return invalid(annotations, "%d KiB are more than %d", total>>10, apivalidation.TotalAnnotationSizeLimitB>>10)
	}
	return nil
}

func checkKey(field, key string) *Invalid {
	if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 {
		return invalid(field, "%s is not a key such as tier or example.com/tier", shown(key))
	}
	domain, _, qualified := strings.Cut(strings.ToLower(key), "/")
	if qualified && (domain == ownDomain || strings.HasSuffix(domain, "."+ownDomain)) {
		return invalid(field, "%s is in a domain that belongs to the gateway", shown(key))
	}
	return nil
}
