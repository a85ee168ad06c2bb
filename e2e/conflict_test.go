//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"openshell.ai/openshell/pkg/bootstrap"
)

// What has the gateway's name but is not the gateway's stays as it is.
func TestForeignResourcesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for kind, create := range map[string][]string{
		"container": {"--name", "NAME", "--entrypoint", "true", nodeImage(t)},
		"volume":    {"NAME"},
		"network":   {"NAME"},
	} {
		t.Run(kind, func(t *testing.T) {
			g := newGateway(t, "foreign")
			for i, arg := range create {
				if arg == "NAME" {
					create[i] = g.Resource()
				}
			}
			docker(t, append([]string{kind, "create"}, create...)...)
			t.Cleanup(func() { docker(t, kind, "rm", g.Resource()) })
			before := g.Footprint(t)
			for _, args := range [][]string{{"start"}, {"start", "--recreate"}, {"stop"}, {"destroy", "--yes"}} {
				g.CLI(t, append([]string{"gateway"}, args...)...).Exits(t, 5).Says(t, kind+" "+g.Resource(), "was not made by openshell")
			}
			if status, code := g.Status(t); code != 3 || status.Word != bootstrap.Foreign {
				t.Errorf("status: %q, exit code %d; want foreign, 3", status.Word, code)
			}
			g.Untouched(t, before)
		})
	}
}

func TestPitfall08PortTaken(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, port int, holder string) {
		t.Helper()
		for _, flags := range [][]string{
			{"--port", strconv.Itoa(port)},
			{"--port", strconv.Itoa(freePort(t)), "--http-port", strconv.Itoa(port)},
		} {
			g := newGateway(t, "port")
			g.CLI(t, append([]string{"gateway", "start"}, flags...)...).Exits(t, 5).Says(t, strconv.Itoa(port), holder)
			g.Untouched(t, map[string]string{})
		}
	}
	t.Run("by a process", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		refused(t, l.Addr().(*net.TCPAddr).Port, "process "+filepath.Base(self)+" ("+strconv.Itoa(os.Getpid())+")")
	})
	t.Run("by a container", func(t *testing.T) {
		port := freePort(t)
		holder := "e2e-holder-" + strconv.Itoa(port)
		docker(t, "container", "run", "--detach", "--name", holder, "--publish", "127.0.0.1:"+strconv.Itoa(port)+":80",
			"--entrypoint", "sleep", nodeImage(t), "600")
		t.Cleanup(func() { docker(t, "container", "rm", "--force", holder) })
		refused(t, port, "container "+holder)
	})
}

func TestPitfall10UnreachableEngineIsNotAbsence(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "unreachable")
	if err := os.MkdirAll(filepath.Dir(g.Bundle("ca.crt")), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{g.Bundle("ca.crt"), g.Bundle("tls.crt"), g.Bundle("tls.key"), filepath.Join(g.Dir(), "metadata.json")} {
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := g.Footprint(t)
	dead := append(g.Env(), "DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "docker.sock"), "DOCKER_CONTEXT=")
	for _, args := range [][]string{
		{"start"}, {"start", "--recreate"}, {"start", "--dry-run"}, {"stop"}, {"status"}, {"list"},
		{"destroy", "--yes"}, {"restore", "aside-20260102T030405Z"}, {"logs"}, {"select", "other"},
	} {
		run(t, dead, "", openshellBin, append([]string{"gateway"}, args...)...).Exits(t, 4).Says(t, "docker.sock")
	}
	r := run(t, dead, "", openshellBin, "gateway", "status", "-o", "json").Exits(t, 4)
	var status bootstrap.Status
	if r.JSON(t, &status); status.Word != bootstrap.Unknown {
		t.Errorf("status is %q, want unknown", status.Word)
	}
	g.Untouched(t, before)
}

func TestUsageErrorsChangeNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "usage")
	for _, args := range [][]string{
		{"start", "Not_A_Name!"},
		{"start", "--port", "70000"},
		{"start", "--port", "eighty"},
		{"start", "--bind", "localhost"},
		{"start", "--gateway-host", "not a host"},
		{"start", "--cpus", "many"},
		{"start", "--memory", "1m"},
		{"start", "--timeout", "-1s"},
		{"start", "--port", "7150", "--http-port", "7150"},
		{"start", "--image-archive", filepath.Join(g.Config, "missing.tar")},
		{"start", "-o", "yaml"},
		{"start", "--no-such-flag"},
		{"start", "one", "two"},
		{"restore", "one", "two", "three"},
		{"destroy"},
	} {
		g.CLI(t, append([]string{"gateway"}, args...)...).Exits(t, 2)
	}
	g.Untouched(t, map[string]string{})
}
