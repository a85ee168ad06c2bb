package helm_test

import (
	"os"
	"path/filepath"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
)

// A fast deploy puts a link to the chart in place.
func TestChartLoadsThroughALink(t *testing.T) {
	dir, err := filepath.Abs(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "openshell")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	chart, err := loader.LoadDir(link)
	if err != nil || len(chart.Templates) < 6 {
		t.Errorf("LoadDir() through a link: %v", err)
	}
}
