// Package charts deploys what a gateway runs in its cluster: charts named by
// manifests of the HelmChart form, rendered with Helm's engine and applied
// server-side, and plain manifests beside them. There is no release record that
// an interrupted operation could leave behind.
package charts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"openshell.ai/openshell/pkg/nodeapi"
)

// overrides of the image's files, written by a fast deploy.
const (
	chartOverrides    = nodeapi.DeployDir + "/charts"
	manifestOverrides = nodeapi.DeployDir + "/manifests"
)

// HelmChart is the part of a helm.cattle.io/v1 HelmChart that is read.
type HelmChart struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Chart           string `json:"chart"` // directory of the chart
		TargetNamespace string `json:"targetNamespace"`
		ValuesContent   string `json:"valuesContent"` // YAML
	} `json:"spec"`
}

// readManifests returns every document of the manifest directory. A file of the
// same name on the volume replaces the image's.
func readManifests() ([]unstructured.Unstructured, error) {
	files := map[string]string{}
	for _, dir := range []string{nodeapi.ManifestDir, manifestOverrides} {
		matches, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, path := range matches {
			files[filepath.Base(path)] = path
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var all []unstructured.Unstructured
	for _, name := range names {
		data, err := os.ReadFile(files[name])
		if err != nil {
			return nil, err
		}
		objects, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", name, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

// decode splits YAML documents into objects; empty ones are left out.
func decode(data []byte) ([]unstructured.Unstructured, error) {
	var objects []unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// chartDir is where a chart is read from.
func chartDir(chart HelmChart) (string, error) {
	override := filepath.Join(chartOverrides, filepath.Base(chart.Spec.Chart))
	_, err := os.Stat(override)
	if errors.Is(err, fs.ErrNotExist) {
		return chart.Spec.Chart, nil
	}
	return override, err
}

// fingerprint identifies rendered objects.
func fingerprint(objects []unstructured.Unstructured) (string, error) {
	sum := sha256.New()
	for _, o := range objects {
		data, err := o.MarshalJSON()
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
