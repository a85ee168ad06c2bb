//go:build e2e

package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/bootstrap"
)

// One gateway lives through everything that can happen to it, and is the same
// after each. Its image is its own, so that it can be taken away.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	sysctls := hostSysctls(t)
	image := "openshell-e2e/cluster:lifecycle" + runID
	// A version of its own, so that no other image can stand in for it.
	version := versionLabel(ownVersion(1))
	imageLike(t, image, version)
	g := started(t, "lifecycle", "--image", image)

	t.Run("running", func(t *testing.T) { testRunning(t, g) })
	t.Run("gRPC", func(t *testing.T) { testGRPC(t, g) })
	g.Keep(t)
	before := g.Fingerprint(t)
	t.Run("TestPitfall20StartOnARunningGatewayChangesNothing", func(t *testing.T) { testAlreadyRunning(t, g) })
	t.Run("TestPitfall28NoSecretWhereItDoesNotBelong", func(t *testing.T) { testSecretsAreHidden(t, g) })
	t.Run("destroy asks", func(t *testing.T) { testDestroyAsks(t, g) })

	for _, loss := range losses {
		ok := t.Run(loss.name, func(t *testing.T) {
			was := g.Inspect(t, "{{.Id}}")
			loss.happens(t, g)
			g.dryRun(t)
			r := g.Start(t)
			t.Logf("%s: %s", r.Took.Round(time.Millisecond), strings.TrimSpace(r.Stdout))
			g.Same(t, before)
			g.tidy(t)
			if same := g.Inspect(t, "{{.Id}}") == was; same != (loss.container == kept) {
				t.Errorf("the container is %s; kept is %t\n%s", loss.container, same, r)
			}
			if loss.says != "" {
				r.Says(t, loss.says)
			}
		})
		if !ok {
			t.FailNow() // the next loss would only fail because of this one
		}
	}
	t.Run("a pod finds its files", func(t *testing.T) { testFilesInPod(t, g) })
	before = g.Fingerprint(t) // the pod has added a line
	t.Run("Kubernetes describes its API", func(t *testing.T) { testAPIDescribed(t, g) })
	t.Run("TestPitfall09ComesBackByItself", func(t *testing.T) { testComesBack(t, g, before) })
	t.Run("new port", func(t *testing.T) { testNewPort(t, g, before) })
	t.Run("TestPitfall11ImageGone", func(t *testing.T) { testImageGone(t, g, image, version) })
	t.Run("TestPitfall31HostSysctlsAreUnchanged", func(t *testing.T) { testHostSysctls(t, sysctls) })
	t.Run("recreate", func(t *testing.T) { testRecreate(t, g) })
	t.Run("destroy", func(t *testing.T) { testDestroy(t, g) })
}

// What becomes of the container when the gateway is started after a loss.
const (
	kept    = "kept"
	renewed = "made anew"
)

// losses are what can happen to a running gateway.
var losses = []struct {
	name      string
	container string
	says      string // by the start after it
	happens   func(t *testing.T, g *Gateway)
}{
	{"gateway stop", kept, "", func(t *testing.T, g *Gateway) {
		r := g.CLI(t, "gateway", "stop").Exits(t, 0)
		t.Logf("stopped in %s", r.Took.Round(time.Millisecond))
		if status, code := g.Status(t); code != 3 || status.Word != bootstrap.Stopped {
			t.Errorf("status after stop: exit code %d, %q", code, status.Word)
		}
		if code := g.Inspect(t, "{{.State.ExitCode}}"); code != "0" {
			t.Errorf("the node ended with code %s, not by itself", code)
		}
	}},
	{"docker kill", kept, "", func(t *testing.T, g *Gateway) {
		docker(t, "kill", g.Resource())
	}},
	{"TestPitfall01NetworkRemoved", renewed, "network", func(t *testing.T, g *Gateway) {
		docker(t, "kill", g.Resource())
		docker(t, "network", "rm", g.Resource())
	}},
	{"TestPitfall03ContainerRemoved", renewed, "volume only", func(t *testing.T, g *Gateway) {
		docker(t, "rm", "--force", g.Resource())
	}},
	{"TestPitfall14HostFilesRemovedWhileRunning", kept, "write host files", func(t *testing.T, g *Gateway) {
		removeHostFiles(t, g)
	}},
	{"host files removed while stopped", kept, "write host files", func(t *testing.T, g *Gateway) {
		g.CLI(t, "gateway", "stop").Exits(t, 0)
		removeHostFiles(t, g)
	}},
	{"everything but the volume removed", renewed, "volume only", func(t *testing.T, g *Gateway) {
		docker(t, "rm", "--force", g.Resource())
		docker(t, "network", "rm", g.Resource())
		removeHostFiles(t, g)
	}},
	{"restart policy changed", kept, "restart policy", func(t *testing.T, g *Gateway) {
		docker(t, "update", "--restart=no", g.Resource())
	}},
	{"paused", kept, "unpause", func(t *testing.T, g *Gateway) {
		docker(t, "pause", g.Resource())
		if status, code := g.Status(t); code != 3 || status.Word != bootstrap.Paused {
			t.Errorf("status while paused: exit code %d, %q", code, status.Word)
		}
	}},
}

// dryRun ends the test unless a dry run has a plan and leaves Docker alone.
func (g *Gateway) dryRun(t *testing.T) {
	t.Helper()
	look := func() string {
		state := run(t, nil, "", "docker", "container", "inspect", "--format", "{{.Id}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}}", g.Resource())
		return strings.Join(g.remains(t), ", ") + "; " + strings.TrimSpace(state.Stdout)
	}
	before := look()
	var plan bootstrap.StartResult
	g.CLI(t, "gateway", "start", "--dry-run", "-o", "json").Exits(t, 0).JSON(t, &plan)
	if len(plan.Plan) == 0 {
		t.Error("the dry run has no plan")
	}
	if after := look(); after != before {
		t.Errorf("a dry run led from %q to %q", before, after)
	}
}

func removeHostFiles(t *testing.T, g *Gateway) {
	t.Helper()
	if err := os.RemoveAll(g.Config); err != nil {
		t.Fatal(err)
	}
}

// tidy ends the test unless Docker has exactly what a running gateway needs.
func (g *Gateway) tidy(t testing.TB) {
	t.Helper()
	want := []string{"container " + g.Resource(), "volume " + g.Resource(), "network " + g.Resource()}
	if diff := cmp.Diff(want, g.remains(t)); diff != "" {
		t.Errorf("resources of the gateway (-want +got):\n%s", diff)
	}
	if policy := g.Inspect(t, "{{.HostConfig.RestartPolicy.Name}}"); policy != "unless-stopped" {
		t.Errorf("restart policy %q", policy)
	}
}

func testRunning(t *testing.T, g *Gateway) {
	g.Running(t)
	g.tidy(t)
	g.CLI(t, "gateway", "status").Exits(t, 0).Says(t, "running", g.Endpoint(), "healthy")
	g.CLI(t, "status").Exits(t, 0)
	for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
		info, err := os.Stat(g.Bundle(file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	for _, address := range strings.Fields(g.Inspect(t, "{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}")) {
		if address != "127.0.0.1" {
			t.Errorf("a port is published on %s", address)
		}
	}
}

func testAlreadyRunning(t *testing.T, g *Gateway) {
	before := g.everything(t)
	r := g.CLI(t, "gateway", "start").Exits(t, 0).Says(t, "already running")
	t.Logf("start on a running gateway in %s", r.Took.Round(time.Millisecond))
	var result bootstrap.StartResult
	g.CLI(t, "gateway", "start", "-o", "json").Exits(t, 0).JSON(t, &result)
	if result.Action != "none" || len(result.Changed) > 0 || result.Was != bootstrap.Running {
		t.Errorf("start -o json: action %s, was %s, changed %v", result.Action, result.Was, result.Changed)
	}
	plan := g.CLI(t, "gateway", "start", "--dry-run").Exits(t, 0)
	t.Logf("plan:\n%s", plan.Stdout)
	g.CLI(t, "gateway", "start", "--dry-run", "--port", strconv.Itoa(freePort(t))).Exits(t, 0).Says(t, "create container")
	g.CLI(t, "gateway", "start", "--dry-run", "--recreate").Exits(t, 0).Says(t, "remove volume")
	same(t, before, g.everything(t))
}

func testDestroyAsks(t *testing.T, g *Gateway) {
	before := g.everything(t)
	g.CLI(t, "gateway", "destroy").Exits(t, 2).Says(t, "--yes")
	same(t, before, g.everything(t))
}

const readerManifest = `
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: e2e}
spec:
  restartPolicy: Never
  containers:
    - name: reader
      image: IMAGE
      imagePullPolicy: Never
      command: [bash, -euc, cat "/data/a directory/deep/file"; cmp /data/noise /data/link; echo more >>"/data/a directory/deep/file"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes:
    - name: data
      persistentVolumeClaim: {claimName: kept}
`

// The files are not only on the volume: a new pod gets them, and may write.
func testFilesInPod(t *testing.T, g *Gateway) {
	g.Apply(t, strings.ReplaceAll(readerManifest, "IMAGE", g.Image(t, "sandbox")))
	g.Kubectl(t, "wait", "--namespace", keptNamespace, "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=60s")
	if said := g.Kubectl(t, "logs", "--namespace", keptNamespace, "reader"); said != "kept" {
		t.Errorf("the pod read %q", said)
	}
	g.Kubectl(t, "delete", "pod", "--namespace", keptNamespace, "reader", "--now")
}

// Docker's restart stands for that of the daemon or the host: no openshell is
// there to help.
func testComesBack(t *testing.T, g *Gateway, before Fingerprint) {
	docker(t, "restart", g.Resource())
	eventually(t, time.Minute, "healthy without openshell", func() bool {
		status, code := g.Status(t)
		return code == 0 && status.Healthy
	})
	g.CLI(t, "gateway", "start").Exits(t, 0).Says(t, "already running")
	g.Same(t, before)
}

// A port chosen later is remembered by the volume alone.
func testNewPort(t *testing.T, g *Gateway, before Fingerprint) {
	g.Port = freePort(t)
	before.Endpoint = g.Endpoint()
	g.Start(t, "--port", strconv.Itoa(g.Port)).Says(t, "port")
	g.Same(t, before)
	docker(t, "rm", "--force", g.Resource())
	removeHostFiles(t, g)
	g.Start(t)
	g.Same(t, before)
	g.tidy(t)
}

// No registry knows the image: only what is on this host can be used.
func testImageGone(t *testing.T, g *Gateway, image, version string) {
	before := g.Fingerprint(t)
	id := g.Inspect(t, "{{.Id}}")
	docker(t, "kill", g.Resource())
	docker(t, "image", "rm", "--force", image)
	r := g.Start(t)
	g.Same(t, before)
	if g.Inspect(t, "{{.Id}}") != id {
		t.Errorf("the container was made anew\n%s", r)
	}
	docker(t, "rm", "--force", g.Resource())
	imageLike(t, image, version, "LABEL openshell.ai/e2e=again")
	g.Start(t).Says(t, "another build of version")
	g.Same(t, before)
	g.tidy(t)
}

func testRecreate(t *testing.T, g *Gateway) {
	before := g.Fingerprint(t)
	r := g.Start(t, append([]string{"--recreate"}, g.ports()...)...)
	t.Logf("recreated in %s", r.Took.Round(time.Millisecond))
	g.tidy(t)
	g.Running(t)
	objects := g.Objects(t)
	for _, secret := range []string{"openshell-system/openshell-ca", "openshell/openshell-ssh-handshake", "openshell/openshell-server-tls"} {
		o := objects["Secret/"+secret]
		if o == nil {
			t.Fatalf("secret %s is missing", secret)
		}
		for key, value := range before.Secrets[secret] {
			if objects.Field("Secret/"+secret, "data", key) == value {
				t.Errorf("%s of secret %s is the old one", key, secret)
			}
		}
	}
	if objects[keptConfigMap] != nil || objects[keptClaim] != nil {
		t.Error("a recreated gateway holds what the old one held")
	}
	testGRPC(t, g)
}

func testDestroy(t *testing.T, g *Gateway) {
	image := g.Inspect(t, "{{.Image}}")
	g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
	if left := g.remains(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(g.Dir()); !os.IsNotExist(err) {
		t.Errorf("%s is still there", g.Dir())
	}
	docker(t, "image", "inspect", "--format", "{{.Id}}", image) // Pitfall 24: images are kept

	g.CLI(t, "gateway", "stop").Exits(t, 0).Says(t, "does not exist")
	g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0).Says(t, "does not exist")
	if status, code := g.Status(t); code != 3 || status.Word != bootstrap.Absent {
		t.Errorf("status of nothing: exit code %d, %q", code, status.Word)
	}
	g.CLI(t, "gateway", "start", "--dry-run", "--port", strconv.Itoa(g.Port)).Exits(t, 0).Says(t, "create volume")
	if left := g.remains(t); len(left) > 0 {
		t.Errorf("a dry run made %v", left)
	}
}
