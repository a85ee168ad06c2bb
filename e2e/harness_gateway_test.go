//go:build e2e || soak || bench

package e2e

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Gateway is the gateway of one scenario, with a configuration directory and
// ports that nothing else uses. It need not exist.
type Gateway struct {
	Name   gateway.Name
	Port   int
	Web    int    // 0: for openshell to choose
	Config string // XDG_CONFIG_HOME

	engine *Engine // nil: the one that everything else uses
}

// runID keeps two runs of the tests apart and tells their age: the seconds
// since 1970 when this one began, after a dash.
var runID = "-" + strconv.FormatInt(time.Now().Unix(), 10)

const namePrefix = "e2e-"

// ofARun matches names of a run, and none that a person would choose.
var ofARun = regexp.MustCompile(`^[a-z]+ openshell-[a-z]+-` + namePrefix + `.*-([0-9]{10})(\.[a-z0-9-]+)?$`)

// newGateway names a gateway e2e-<short>-<run> and sees to it that nothing
// of it is left when the test ends. Nothing is started.
func newGateway(t testing.TB, short string) *Gateway {
	t.Helper()
	g := &Gateway{
		Name:   gatewayName(short),
		Port:   freePort(t),
		Web:    freePort(t),
		Config: t.TempDir(),
	}
	eraseAbandoned(t)
	t.Cleanup(func() {
		if t.Failed() {
			g.tell(t)
		}
		erase(t, g.remains(t))
	})
	return g
}

// started is newGateway with a gateway that is healthy.
func started(t testing.TB, short string, flags ...string) *Gateway {
	t.Helper()
	g := newGateway(t, short)
	r := g.Start(t, flags...)
	t.Logf("fresh start in %s", r.Took)
	return g
}

func gatewayName(short string) gateway.Name { return gateway.Name(namePrefix + short + runID) }

// Resource is the name of the container, the volume and the network.
func (g *Gateway) Resource() string { return g.Name.Resource() }

// Dir is where the host's files of the gateway are.
func (g *Gateway) Dir() string {
	return filepath.Join(g.Config, "openshell", "gateways", string(g.Name))
}

// Bundle is the path of one of the mTLS files: ca.crt, tls.crt or tls.key.
func (g *Gateway) Bundle(file string) string { return filepath.Join(g.Dir(), "mtls", file) }

// Endpoint is the URL of the gateway API.
func (g *Gateway) Endpoint() string { return "https://" + g.Address() }

// Address is the host and port of the gateway API.
func (g *Gateway) Address() string { return "127.0.0.1:" + strconv.Itoa(g.Port) }

// Env are the environment variables that make openshell use this gateway's
// configuration directory, and nothing of the caller's.
func (g *Gateway) Env() []string {
	return []string{"XDG_CONFIG_HOME=" + g.Config, "OPENSHELL_GATEWAY=" + string(g.Name)}
}

// CLI runs openshell for this gateway, which needs not be named.
func (g *Gateway) CLI(t testing.TB, args ...string) Result {
	t.Helper()
	return g.run(t, "", openshellBin, args...)
}

// run runs a command beside the gateway's engine, with the environment that
// makes openshell use this gateway.
func (g *Gateway) run(t testing.TB, stdin, name string, args ...string) Result {
	t.Helper()
	if g.engine != nil {
		return g.engine.run(t, g.Env(), stdin, name, args...)
	}
	return run(t, g.Env(), stdin, name, args...)
}

// docker runs the docker command on the gateway's engine; it must succeed.
func (g *Gateway) docker(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(g.run(t, "", "docker", args...).Exits(t, 0).Stdout)
}

// Start starts or resumes the gateway, which must become healthy. The ports are
// given only while the gateway does not exist: a resume has to know them.
func (g *Gateway) Start(t testing.TB, flags ...string) Result {
	t.Helper()
	return g.CLI(t, g.startArgs(t, flags...)...).Exits(t, 0)
}

func (g *Gateway) startArgs(t testing.TB, flags ...string) []string {
	t.Helper()
	args := []string{"gateway", "start"}
	if !g.exists(t, "volume") {
		args = append(args, g.ports(flags...)...)
	}
	return append(args, flags...)
}

// ports are the flags of a first start, without those that are given anyway. A
// web port that openshell chose could go to the gateway of another scenario
// while this one is no more than a volume.
func (g *Gateway) ports(given ...string) []string {
	var flags []string
	for flag, port := range map[string]int{"--port": g.Port, "--http-port": g.Web} {
		if port != 0 && !slices.Contains(given, flag) {
			flags = append(flags, flag, strconv.Itoa(port))
		}
	}
	return flags
}

// Status is the document of `gateway status`, with its exit code.
func (g *Gateway) Status(t testing.TB) (bootstrap.Status, int) {
	t.Helper()
	r := g.CLI(t, "gateway", "status", "-o", "json")
	var status bootstrap.Status
	r.JSON(t, &status)
	return status, r.Code
}

// Running ends the test unless the gateway says that it is running, at its own
// port.
func (g *Gateway) Running(t testing.TB) bootstrap.Status {
	t.Helper()
	status, code := g.Status(t)
	if code != 0 || status.Word != bootstrap.Running || !status.Healthy || status.Endpoint != g.Endpoint() {
		t.Fatalf("status: exit code %d, %q, healthy %t, endpoint %s; want running at %s",
			code, status.Word, status.Healthy, status.Endpoint, g.Endpoint())
	}
	return status
}

// Inspect renders a Go template over the container.
func (g *Gateway) Inspect(t testing.TB, template string) string {
	t.Helper()
	return g.docker(t, "container", "inspect", "--format", template, g.Resource())
}

// OnVolume runs a shell command in the directory of the state on the gateway's
// volume, in a container of its own. stdin is its input.
func (g *Gateway) OnVolume(t testing.TB, stdin, command string) string {
	t.Helper()
	r := run(t, nil, stdin, "docker", "container", "run", "--rm", "--interactive", "--network", "none",
		"--volume", g.Resource()+":"+nodeapi.VolumeRoot, "--workdir", nodeapi.VolumeRoot,
		"--entrypoint", "sh", nodeImage(t), "-euc", command)
	return strings.TrimSpace(r.Exits(t, 0).Stdout)
}

// exists reports whether the gateway has a container, volume or network.
func (g *Gateway) exists(t testing.TB, kind string) bool {
	t.Helper()
	out := g.docker(t, listArgs(kind, "name="+g.Resource())...)
	return slices.Contains(strings.Fields(out), g.Resource())
}

// remains lists what Docker has of the gateway, helpers included: "container
// openshell-cluster-e2e-x".
func (g *Gateway) remains(t testing.TB) []string {
	t.Helper()
	return resources(t, "label="+gateway.LabelGateway+"="+string(g.Name))
}

// resources lists containers, volumes and networks in the form of remains.
func resources(t testing.TB, filter string) []string {
	t.Helper()
	var found []string
	for _, kind := range []string{"container", "volume", "network"} {
		for _, name := range strings.Fields(docker(t, listArgs(kind, filter)...)) {
			found = append(found, kind+" "+name)
		}
	}
	return found
}

func listArgs(kind, filter string) []string {
	args := []string{kind, "ls", "--filter", filter, "--format", "{{.Name}}"}
	if kind == "container" {
		args[len(args)-1] = "{{.Names}}"
		args = append(args, "--all")
	}
	return args
}

// erase removes resources, without openshell's help.
func erase(t testing.TB, resources []string) {
	t.Helper()
	for _, resource := range resources {
		kind, name, _ := strings.Cut(resource, " ")
		args := []string{kind, "rm", name}
		if kind == "container" {
			args = []string{"rm", "--force", name}
		}
		if r := run(t, nil, "", "docker", args...); r.Code != 0 {
			t.Logf("left behind: %s", r)
		}
	}
}

// eraseAbandoned removes what runs of these tests left that were killed longer
// ago than any run takes.
func eraseAbandoned(t testing.TB) {
	t.Helper()
	const longest = 8 * time.Hour
	erase(t, slices.DeleteFunc(resources(t, "label="+gateway.LabelManagedBy+"="+gateway.ManagedBy), func(resource string) bool {
		name := ofARun.FindStringSubmatch(resource)
		if name == nil {
			return true
		}
		began, err := strconv.ParseInt(name[1], 10, 64)
		return err != nil || time.Since(time.Unix(began, 0)) < longest
	}))
}

// tell logs what there is to know of a gateway after a failure.
func (g *Gateway) tell(t testing.TB) {
	t.Helper()
	for title, command := range map[string][]string{
		"status":                {openshellBin, "gateway", "status", "-o", "json"},
		"end of the node's log": {"docker", "logs", "--tail", "60", g.Resource()},
	} {
		t.Logf("%s: %s", title, g.run(t, "", command[0], command[1:]...))
	}
	if log, err := os.ReadFile(filepath.Join(g.Dir(), "last-failure.log")); err == nil {
		t.Logf("last-failure.log:\n%s", log)
	}
}

// givenPorts are those of this run: a gateway that is stopped does not listen.
var givenPorts sync.Map

// freePort is a port that nobody listens on, outside the range from which
// kernels take ports for outgoing connections. It is given once.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
