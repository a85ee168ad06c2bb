//go:build e2e || soak

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// crashOp is an operation during which anything may happen.
type crashOp struct {
	name    string
	prepare func(s *crashScene, t *testing.T, point string) // leads to where it begins; point is what is to come, empty: nothing
	args    func(s *crashScene, t *testing.T) []string
	after   func(s *crashScene, t *testing.T, r Result) // brings back what must be there, and looks
}

// operations in the order of their first run on one gateway: the first makes it,
// those that follow keep what it holds, the last two do not.
func operations() []crashOp {
	return []crashOp{
		{"fresh start", (*crashScene).absent, (*crashScene).startHere, (*crashScene).begun},
		{"other settings", (*crashScene).running, (*crashScene).resize, (*crashScene).back},
		{"stop", (*crashScene).running, verbatim("gateway", "stop"), (*crashScene).back},
		{"resume", (*crashScene).stopped, verbatim("gateway", "start"), (*crashScene).back},
		{"resume from the volume", (*crashScene).volumeOnly, verbatim("gateway", "start"), (*crashScene).back},
		{"restore", (*crashScene).withAside, (*crashScene).restore, (*crashScene).backWithAside},
		{"sandbox create", (*crashScene).running, verbatim("sandbox", "create", "--no-bootstrap", "--name", sandboxName, "--", "sh", "-c", "echo new >/sandbox/new"), (*crashScene).createdOrNot},
		{"sandbox delete", (*crashScene).withSandbox, verbatim("sandbox", "delete", "--yes", sandboxName), (*crashScene).deletedOnRequest},
		{"recreate", (*crashScene).there, (*crashScene).recreate, (*crashScene).begun},
		{"destroy", (*crashScene).there, verbatim("gateway", "destroy", "--yes"), (*crashScene).gone},
	}
}

func operationNames() []string {
	var names []string
	for _, op := range operations() {
		names = append(names, op.name)
	}
	return names
}

func verbatim(args ...string) func(*crashScene, *testing.T) []string {
	return func(*crashScene, *testing.T) []string { return args }
}

// crashScene is the gateway that everything happens to.
type crashScene struct {
	g      *Gateway
	rig    *crashRig
	before crashState // what it holds, once there is something to lose
	left   string     // objects of its sandboxes
}

// crashState is what must survive.
type crashState struct {
	Fingerprint
	Routes  string
	Sandbox string // its files
	Bundle  string // the host's
	Ports   string
}

// settle gives the gateway what a user would miss.
func (s *crashScene) settle(t *testing.T) {
	t.Helper()
	s.g.Keep(t)
	s.g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", "kept", "--detach").Exits(t, 0)
	box := &Box{s.g, "kept"}
	box.sh(t, `mkdir /sandbox/work; head -c 100000 /dev/urandom >/sandbox/work/noise; echo kept >"/sandbox/work/a file"; sync`)
	s.g.CLI(t, "sandbox", "expose", "kept", "8000").Exits(t, 0)
	s.before, s.left = s.state(t), s.g.left(t)
}

func (s *crashScene) state(t *testing.T) crashState {
	t.Helper()
	g := s.g
	state := crashState{
		Fingerprint: g.Fingerprint(t),
		Routes: g.Kubectl(t, "get", "routes.openshell.ai", "--namespace", sandboxapi.Namespace,
			"-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.spec}{"\n"}{end}`),
		Ports: g.Inspect(t, "{{json .HostConfig.PortBindings}}"),
	}
	for _, pv := range decodeEach[struct {
		Spec struct {
			ClaimRef struct{ Namespace string }
			HostPath struct{ Path string }
		}
	}](t, g.Kubectl(t, "get", "persistentvolumes", "-o", "json")) {
		if pv.Spec.ClaimRef.Namespace == sandboxapi.Namespace {
			state.Sandbox += g.Sh(t, fmt.Sprintf("cd %s; find . -path '*/work/*' -type f -exec sha256sum {} + | sort", pv.Spec.HostPath.Path))
		}
	}
	for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
		content, err := os.ReadFile(g.Bundle(file))
		if err != nil {
			t.Fatal(err)
		}
		state.Bundle += string(content)
	}
	if strings.Count(state.Sandbox, "\n") != 1 || state.Routes == "" {
		t.Fatalf("sandbox files %q, routes %q", state.Sandbox, state.Routes)
	}
	return state
}

// back brings the gateway back by nothing but a start, with all it held.
func (s *crashScene) back(t *testing.T, r Result) {
	t.Helper()
	foreseen(t, r)
	if !s.g.exists(t, "volume") {
		t.Fatalf("the volume is gone: %s", r)
	}
	s.started(t, "gateway", "start")
	if diff := cmp.Diff(s.before, s.state(t)); diff != "" {
		t.Fatalf("not as it was (-before +after):\n%s", diff)
	}
}

// started runs a start that must succeed and leave nothing else.
func (s *crashScene) started(t *testing.T, args ...string) {
	t.Helper()
	r := s.g.CLI(t, args...).Exits(t, 0)
	t.Logf("%s: %s", r.Took.Round(time.Millisecond), strings.TrimSpace(r.Stdout))
	s.g.Running(t)
	s.rig.orphans(t, s.g.whole()...)
	eventually(t, 20*time.Second, "what openshell ran in the node has ended", func() bool { return len(s.g.execs(t)) == 0 })
}

// begun is the end of a start from nothing. One that failed left nothing, or a
// gateway that runs, if it was told of no more than that.
func (s *crashScene) begun(t *testing.T, r Result) {
	t.Helper()
	foreseen(t, r)
	if left := s.g.remains(t); r.Code > 0 && len(left) > 0 {
		if status, _ := s.g.Status(t); status.Word != bootstrap.Running {
			t.Errorf("a start that failed left %v, %s: %s", left, status.Word, r)
		}
	}
	s.started(t, s.startHere(t)...)
}

func (s *crashScene) startHere(*testing.T) []string {
	return []string{"gateway", "start", "--port", strconv.Itoa(s.g.Port)}
}

func (s *crashScene) recreate(t *testing.T) []string { return append(s.startHere(t), "--recreate") }

func (s *crashScene) absent(t *testing.T, _ string) {
	t.Helper()
	s.g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
}

func (s *crashScene) running(t *testing.T, _ string) {
	t.Helper()
	s.g.Start(t)
}

func (s *crashScene) stopped(t *testing.T, _ string) {
	t.Helper()
	s.g.CLI(t, "gateway", "stop").Exits(t, 0)
}

func (s *crashScene) volumeOnly(t *testing.T, _ string) {
	t.Helper()
	s.stopped(t, "")
	if s.g.exists(t, "container") {
		docker(t, "container", "rm", s.g.Resource())
	}
}

// resize asks for another limit than the gateway has.
func (s *crashScene) resize(t *testing.T) []string {
	t.Helper()
	limit := "6g"
	if s.g.Inspect(t, "{{.HostConfig.Memory}}") == strconv.Itoa(6<<30) {
		limit = "7g"
	}
	return []string{"gateway", "start", "--memory", limit}
}

// withAside stops the gateway and puts a copy of its state beside it: whichever
// of the two comes back, nothing is lost.
func (s *crashScene) withAside(t *testing.T, _ string) {
	t.Helper()
	s.stopped(t, "")
	if len(s.asides(t)) == 0 {
		docker(t, "container", "run", "--rm", "--network", "none", "--volume", s.g.Resource()+":"+nodeapi.VolumeRoot, "--workdir", nodeapi.VolumeRoot,
			"--entrypoint", "cp", nodeImage(t), "--archive", nodeapi.Current, nodeapi.AsidePrefix+"20260102T030405Z")
	}
}

func (s *crashScene) asides(t testing.TB) []string {
	t.Helper()
	var names []string
	status, _ := s.g.Status(t)
	if status.Volume != nil {
		for _, aside := range status.Volume.Asides {
			names = append(names, aside.Name)
		}
	}
	return names
}

func (s *crashScene) restore(t *testing.T) []string {
	t.Helper()
	asides := s.asides(t)
	if len(asides) != 1 {
		t.Fatalf("states set aside: %v, not one", asides)
	}
	return []string{"gateway", "restore", asides[0]}
}

func (s *crashScene) backWithAside(t *testing.T, r Result) {
	t.Helper()
	s.back(t, r)
	if asides := s.asides(t); len(asides) != 1 {
		t.Errorf("states set aside: %v, not one", asides)
	}
}

// createdOrNot: the sandbox is there and works, or it is not.
func (s *crashScene) createdOrNot(t *testing.T, r Result) {
	t.Helper()
	foreseen(t, r)
	exists := s.g.CLI(t, "sandbox", "get", sandboxName).Code == 0
	if exists {
		s.works(t)
	}
	again := s.g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", sandboxName, "--detach")
	switch {
	case exists:
		again.Exits(t, 5).Says(t, sandboxName)
	default:
		again.Exits(t, 0)
		s.works(t)
	}
	s.removed(t)
}

func (s *crashScene) works(t *testing.T) {
	t.Helper()
	(&Box{s.g, sandboxName}).exec(t, "true").Exits(t, 0)
}

// removed deletes the sandbox, of which nothing may be left.
func (s *crashScene) removed(t *testing.T) {
	t.Helper()
	s.g.CLI(t, "sandbox", "delete", "--yes", sandboxName).Exits(t, 0)
	eventually(t, 20*time.Second, "nothing is left of the sandbox", func() bool { return s.g.left(t) == s.left })
	s.rig.orphans(t, s.g.whole()...)
	if hosts, _ := filepath.Glob(filepath.Join(s.g.Dir(), "ssh", "*")); len(hosts) > 0 {
		t.Errorf("left behind: %v", hosts)
	}
}

func (s *crashScene) withSandbox(t *testing.T, _ string) {
	t.Helper()
	s.running(t, "")
	s.g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", sandboxName, "--detach").Exits(t, 0)
	box := &Box{s.g, sandboxName}
	box.sh(t, "echo old >/sandbox/old")
	s.g.CLI(t, "sandbox", "ssh-config", sandboxName).Exits(t, 0)
}

// deletedOnRequest: asked again, the sandbox is gone, and one of its name has
// none of its files.
func (s *crashScene) deletedOnRequest(t *testing.T, r Result) {
	t.Helper()
	foreseen(t, r)
	if again := s.g.CLI(t, "sandbox", "delete", "--yes", sandboxName); again.Code != 0 {
		again.Exits(t, 1).Says(t, "does not exist")
	}
	s.g.CLI(t, "sandbox", "get", sandboxName).Exits(t, 1)
	eventually(t, 20*time.Second, "nothing is left of the sandbox", func() bool { return s.g.left(t) == s.left })
	s.g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", sandboxName, "--detach").Exits(t, 0)
	(&Box{s.g, sandboxName}).exec(t, "test", "!", "-e", "/sandbox/old").Exits(t, 0)
	s.removed(t)
}

// there makes a gateway to be destroyed. One whose container has just been
// started has everything but the host's files.
func (s *crashScene) there(t *testing.T, point string) {
	t.Helper()
	have := s.g.remains(t)
	_, err := os.Stat(s.g.Bundle("ca.crt"))
	switch {
	case len(have) == 3 && err == nil:
	case point == "" || strings.HasPrefix(point, "host "):
		s.g.Start(t)
	case !slices.Equal(have, s.g.whole()):
		s.rig.play(t, "POST /containers/GATEWAY/start", killed, s.startHere(t)...)
	}
}

// gone: asked again, there is no gateway any more.
func (s *crashScene) gone(t *testing.T, r Result) {
	t.Helper()
	foreseen(t, r)
	s.g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
	s.rig.orphans(t)
	for name, kind := range s.g.configFiles(t) {
		if !kind.IsDir() && !strings.HasSuffix(name, ".lock") {
			t.Errorf("left behind: %s", name)
		}
	}
	if status, _ := s.g.Status(t); status.Word != bootstrap.Absent {
		t.Errorf("status after destroy: %s", status.Word)
	}
}
