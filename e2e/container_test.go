//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/usercontainer"
)

// joinAgain is how long a container may take to join a gateway's VPN that was
// away: its pauses between attempts grow to half a minute.
const joinAgain = time.Minute

const kubeletPort = 10250

// webImage imports an image of nothing but a web server, which is deleted when
// the test ends.
func webImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "web")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin, "./testdata/webserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	content, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "web", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	image := fmt.Sprintf("openshell-%sweb%s:%s", namePrefix, runID, strings.ToLower(t.Name()))
	load := exec.Command("docker", "image", "import", "--change", `ENTRYPOINT ["/web"]`, "--change", `CMD [":8000"]`, "-", image)
	load.Stdin = &archive
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("docker import: %v: %s", err, out)
	}
	t.Cleanup(func() { run(t, nil, "", "docker", "image", "rm", "--force", image) })
	return image
}

// asked is what the gateway answers on its web port; the name of the host is
// what a browser would send.
func (g *Gateway) asked(t testing.TB, method, host, path, body string) (code int, text string) {
	t.Helper()
	status, _ := g.Status(t)
	if status.Settings == nil || status.Settings.HTTPPort == 0 {
		return 0, "the gateway tells no web port"
	}
	at := "127.0.0.1:" + strconv.Itoa(status.Settings.HTTPPort)
	request, err := http.NewRequest(method, "http://"+at+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		request.Host = host + ":" + strconv.Itoa(status.Settings.HTTPPort)
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(answer)
}

// answers reports whether the service web answers at both of its places.
func (g *Gateway) answers(t testing.TB, remembered string) bool {
	t.Helper()
	code, text := g.asked(t, http.MethodGet, "", "/web/x", "")
	if code != http.StatusOK || !strings.HasPrefix(text, "hello ") || !strings.HasSuffix(text, remembered) {
		return false
	}
	code, text = g.asked(t, http.MethodGet, "web.localhost", "/deep/path", "")
	return code == http.StatusOK && strings.Contains(text, " /deep/path ") && strings.HasSuffix(text, remembered)
}

// containers are those of the gateway by name.
func (g *Gateway) containers(t testing.TB) map[string]usercontainer.Container {
	t.Helper()
	var list []usercontainer.Container
	g.CLI(t, "container", "list", "-o", "json").Exits(t, 0).JSON(t, &list)
	all := map[string]usercontainer.Container{}
	for _, c := range list {
		all[c.Name] = c
	}
	return all
}

func TestContainers(t *testing.T) {
	t.Parallel()
	image := webImage(t)
	g := started(t, "containers")

	t.Run("run leads to the services", func(t *testing.T) {
		r := g.CLI(t, "container", "run", image, "--name", "web", "--service", "web:8000", "--env", "GREETING=hello").Exits(t, 0)
		t.Logf("run in %s", r.Took)
		r.Says(t, "container web is running", "http://web.localhost:", "/web/")
		if !g.answers(t, "") {
			code, text := g.asked(t, http.MethodGet, "", "/web/x", "")
			t.Fatalf("it does not answer: %d %s", code, text)
		}
		if code, text := g.asked(t, http.MethodPost, "web.localhost", "/", "kept"); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
		c := g.containers(t)["web"]
		if c.State != usercontainer.Running || !strings.HasPrefix(c.Address, "172.16.") || len(c.Services) != 1 || !c.Services[0].Live() {
			t.Errorf("listed as %+v", c)
		}
	})
	t.Run("a sidecar has a tunnel and no more", func(t *testing.T) { testSidecar(t, g) })
	t.Run("the package is a secret", func(t *testing.T) { testPackageIsHidden(t, g) })
	t.Run("it reaches the gateway's web server and no neighbour", func(t *testing.T) { testNeighbours(t, g, image) })
	t.Run("a name is given once", func(t *testing.T) {
		g.CLI(t, "container", "run", image, "--name", "web").Exits(t, 5).Says(t, "container-exists")
		g.CLI(t, "container", "run", image, "--name", "web2", "--service", "web:8000").Exits(t, 5).Says(t, "service-taken")
		g.CLI(t, "container", "run", image, "--name", "broken", "--", "/web", "no-address").Exits(t, 1).Says(t, "container-failed")
		g.CLI(t, "container", "rm", "broken").Exits(t, 0)
		if left := g.remains(t); len(left) != 5 {
			t.Errorf("there is more than a gateway and a container: %v", left)
		}
	})
	t.Run("it joins again after the gateway was stopped", func(t *testing.T) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		if c := g.containers(t)["web"]; c.State != usercontainer.Offline {
			t.Errorf("while the gateway is stopped: %s", c.State)
		}
		g.CLI(t, "container", "run", image).Exits(t, 3).Says(t, "openshell gateway start")
		g.CLI(t, "container", "rm", "web").Exits(t, 3)
		g.Start(t)
		eventually(t, joinAgain, "the container answers again", func() bool { return g.answers(t, "kept") })
	})
	t.Run("start brings back one that lost its network", func(t *testing.T) {
		docker(t, "restart", "--time", "2", g.Name.Sidecar("web"))
		if c := g.containers(t)["web"]; c.State != usercontainer.Detached {
			t.Errorf("listed as %s", c.State)
		}
		g.CLI(t, "container", "start", "web").Exits(t, 0)
		eventually(t, joinAgain, "the container answers again", func() bool { return g.answers(t, "kept") })
	})
	t.Run("start brings back one that was stopped", func(t *testing.T) {
		docker(t, "stop", "--time", "2", g.Name.UserContainer("web"), g.Name.Sidecar("web"))
		if c := g.containers(t)["web"]; c.State != usercontainer.Stopped {
			t.Errorf("listed as %s", c.State)
		}
		g.CLI(t, "container", "start", "web").Exits(t, 0)
		eventually(t, joinAgain, "the container answers again", func() bool { return g.answers(t, "kept") })
	})
	t.Run("start gives it the keys that a reset has made", func(t *testing.T) {
		g.CLI(t, "gateway", "reset", "--yes").Exits(t, 0)
		g.CLI(t, "container", "start", "web").Exits(t, 0)
		eventually(t, joinAgain, "the container answers again", func() bool { return g.answers(t, "kept") })
	})
	t.Run("rm leaves nothing", func(t *testing.T) {
		g.CLI(t, "container", "rm", "web").Exits(t, 0)
		for _, left := range g.remains(t) {
			if strings.Contains(left, ".web") {
				t.Errorf("left: %s", left)
			}
		}
		if all := g.containers(t); len(all) > 0 {
			t.Errorf("listed: %v", all)
		}
		eventually(t, 10*time.Second, "the gateway leads there no more", func() bool {
			code, _ := g.asked(t, http.MethodGet, "", "/web/", "")
			return code == http.StatusNotFound
		})
		g.CLI(t, "container", "rm", "web").Exits(t, 1).Says(t, "container-absent")
	})
	t.Run("destroy takes containers with it", func(t *testing.T) {
		g.CLI(t, "container", "run", image, "--detach").Exits(t, 0)
		g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
		if left := g.remains(t); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func testSidecar(t *testing.T, g *Gateway) {
	var sidecar, user struct {
		HostConfig struct {
			CapAdd, CapDrop []string
			Privileged      bool
			Binds           []string
			Devices         []struct{ PathOnHost string }
			NetworkMode     string
			RestartPolicy   struct{ Name string }
		}
		Config struct{ Healthcheck struct{ Test []string } }
	}
	inspect := func(name string, into any) {
		if err := json.Unmarshal([]byte(docker(t, "container", "inspect", "--format", "{{json .}}", name)), into); err != nil {
			t.Fatal(err)
		}
	}
	inspect(g.Name.Sidecar("web"), &sidecar)
	inspect(g.Name.UserContainer("web"), &user)
	h := sidecar.HostConfig
	if h.Privileged || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) != 1 || len(h.Devices) != 1 || len(h.Binds) > 0 ||
		h.RestartPolicy.Name != "unless-stopped" || !slices.Equal(sidecar.Config.Healthcheck.Test, []string{"NONE"}) {
		t.Errorf("sidecar: %+v", sidecar)
	}
	h = user.HostConfig
	if h.Privileged || len(h.CapAdd)+len(h.Devices)+len(h.Binds) > 0 || !strings.HasPrefix(h.NetworkMode, "container:") || h.RestartPolicy.Name != "unless-stopped" {
		t.Errorf("container: %+v", user)
	}
}

func testPackageIsHidden(t *testing.T, g *Gateway) {
	sidecar := g.Name.Sidecar("web")
	var pkg struct{ Token, Config string }
	if err := json.Unmarshal([]byte(docker(t, "exec", sidecar, "cat", "/package")), &pkg); err != nil || len(pkg.Token) < 20 {
		t.Fatalf("the package: %v, a token of %d characters", err, len(pkg.Token))
	}
	if mode := docker(t, "exec", sidecar, "stat", "--format", "%a %u", "/package"); mode != "600 0" {
		t.Errorf("mode and owner of the package: %s", mode)
	}
	_, key, _ := strings.Cut(pkg.Config, "PRIVATE KEY-----\n")
	secrets := []string{pkg.Token, strings.SplitN(key, "\n", 2)[0]}
	for place, text := range map[string]string{
		"docker inspect of the sidecar":   docker(t, "container", "inspect", sidecar),
		"docker inspect of the container": docker(t, "container", "inspect", g.Name.UserContainer("web")),
		"docker top of the sidecar":       docker(t, "top", sidecar, "-eo", "pid,args"),
		"log of the sidecar":              run(t, nil, "", "docker", "logs", sidecar).Exits(t, 0).String(),
		"environment of the sidecar":      docker(t, "exec", sidecar, "cat", "/proc/1/environ"),
		"list":                            g.CLI(t, "container", "list", "-o", "json").Exits(t, 0).String(),
		"the gateway's log":               g.CLI(t, "gateway", "logs").String(),
	} {
		for _, secret := range secrets {
			if secret == "" || strings.Contains(text, secret) {
				t.Errorf("a secret of %d characters stands in %s", len(secret), place)
			}
		}
	}
}

func testNeighbours(t *testing.T, g *Gateway, image string) {
	g.CLI(t, "container", "run", image, "--name", "other", "--service", "other:8000").Exits(t, 0)
	defer func() { g.CLI(t, "container", "rm", "other").Exits(t, 0) }()
	box := webSandbox(t, g, "neighbour")
	defer box.delete(t)
	pod := box.ip(t)
	// A client of the VPN may send it what it likes: no lack of a route protects.
	docker(t, "exec", g.Name.Sidecar("web"), "ip", "route", "add", pod, "via", edge.VPNGateway, "dev", "tun0")
	defer docker(t, "exec", g.Name.Sidecar("web"), "ip", "route", "del", pod)

	node, other := g.Resource(), g.containers(t)["other"].Address
	besides := docker(t, "container", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", g.Name.Sidecar("other"))
	for _, target := range []struct {
		host    string
		port    int
		alive   string // where the node itself reaches the same process
		reached bool
	}{
		{edge.VPNGateway, 80, edge.VPNGateway, true}, // nginx
		{edge.VPNGateway, 7100, edge.VPNGateway, false},
		{edge.VPNGateway, nodeapi.APIServerPort, edge.VPNGateway, false},
		{edge.VPNGateway, nodeapi.GatewayPort, node, false},
		{edge.VPNGateway, kubeletPort, node, false},
		{pod, 8000, pod, false},
		{node, 7100, node, false},
		{node, nodeapi.APIServerPort, node, false},
		{node, nodeapi.GatewayPort, node, false},
		{node, kubeletPort, node, false},
		{other, 8000, other, false},
		{besides, 8000, other, false},
	} {
		to := net.JoinHostPort(target.host, strconv.Itoa(target.port))
		eventually(t, 20*time.Second, to+" is alive", func() bool {
			return g.CLI(t, "gateway", "exec", "--", "bash", "-c", probe(target.alive, target.port)).Code == 0
		})
		code, text := g.asked(t, http.MethodGet, "web.localhost", "/reach?to="+to, "")
		if code != http.StatusOK || strings.HasPrefix(text, "yes") != target.reached {
			t.Errorf("%s: %d %s", to, code, text)
		}
	}
	if code, text := g.asked(t, http.MethodGet, "web.localhost", "/reach?to=127.0.0.1:8000", ""); text != "yes" {
		t.Errorf("it does not reach itself: %d %s", code, text)
	}
}

// TestContainersComeBackWithDocker restarts an engine: it may start a container
// before the one whose network it shares, and then gives up.
func TestContainersComeBackWithDocker(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	archive := filepath.Join(t.TempDir(), "web.tar")
	image := webImage(t)
	docker(t, "image", "save", "--output", archive, image)
	e.Docker(t, "image", "load", "--input", archive)
	g := e.newGateway(t, "containers-docker")
	g.Start(t)
	const several = 4
	for i := range several {
		name := fmt.Sprintf("web-%d", i)
		g.CLI(t, "container", "run", image, "--name", name, "--service", name+":8000", "--env", "GREETING=hello").Exits(t, 0)
	}
	e.Stop(t)
	e.Start(t)
	g.Start(t)
	for name, c := range g.containers(t) {
		t.Logf("%s is %s after the restart", name, c.State)
		g.CLI(t, "container", "start", name).Exits(t, 0)
	}
	for name, c := range g.containers(t) {
		if c.State != usercontainer.Running || !c.Services[0].Live() {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
