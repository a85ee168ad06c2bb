package sandbox

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
)

func parseFlags(args ...string) (Config, error) {
	var c Config
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.AddFlags(fs)
	return c, fs.Parse(args)
}

func TestFlags(t *testing.T) {
	got, err := parseFlags("-supervisor-source=image:server:1", "-sandbox-memory=2Gi", "-storage-class=fast", "-storage-size=5Gi",
		"-hint-listen=:9", "-hint-address=hints:9")
	want := Config{
		Namespace: "openshell-sandboxes", Supervisor: Supervisor{Image: "server:1"}, Memory: resource.MustParse("2Gi"),
		StorageClass: "fast", StorageSize: resource.MustParse("5Gi"), HintListen: ":9", HintAddress: "hints:9",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func TestDefaultsAreThoseOfOurNode(t *testing.T) {
	c, err := parseFlags()
	if err != nil {
		t.Fatal(err)
	}
	c.REST, c.Master = &rest.Config{}, testMaster()
	c, err = c.withDefaults()
	if err != nil || c.Supervisor.HostPath != "/opt/openshell/bin" || c.StorageClass != "openshell" || c.StorageSize.String() != "10Gi" || c.HintListen != ":8082" {
		t.Errorf("%+v (%v)", c, err)
	}
}

func TestBadFlagsNameTheForm(t *testing.T) {
	for arg, want := range map[string]string{
		"-supervisor-source=/opt":         "hostPath:/directory",
		"-supervisor-source=hostPath:opt": "hostPath:/directory",
		"-supervisor-source=image:":       "image:reference",
		"-sandbox-memory=much":            "4Gi",
		"-sandbox-memory=-1Gi":            "4Gi",
		"-storage-size=0":                 "4Gi",
	} {
		if _, err := parseFlags(arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want one with %s", arg, err, want)
		}
	}
}

func TestIncompleteConfigurationIsRefused(t *testing.T) {
	whole := testConfig()
	whole.REST = &rest.Config{}
	for name, edit := range map[string]func(*Config){
		"no API":        func(c *Config) { c.REST = nil },
		"no secret":     func(c *Config) { c.Master = "" },
		"no supervisor": func(c *Config) { c.Supervisor = Supervisor{} },
		"two of them":   func(c *Config) { c.Supervisor.Image = "server:1" },
	} {
		c := whole
		edit(&c)
		if _, err := NewManager(c, discard()); err == nil || strings.Contains(err.Error(), string(testMaster())) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	if _, err := NewManager(whole, discard()); err != nil {
		t.Error(err)
	}
}
