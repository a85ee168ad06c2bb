//go:build soak

package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/nodeapi"
)

var (
	soakCycles = flag.Int("soak.cycles", 200, "mishaps of TestPitfall23TwoHundredCycles")
	soakSeed   = flag.Uint64("soak.seed", 5, "which order they come in")
)

// mishap is something that happens to a gateway. The start after it is not its
// affair.
type mishap struct {
	name    string
	share   int // of 200
	happens func(t *testing.T, s *soak)
}

var mishaps = []mishap{
	{"gateway stop", 20, func(t *testing.T, s *soak) { s.g.CLI(t, "gateway", "stop").Exits(t, 0) }},
	{"docker kill", 20, func(t *testing.T, s *soak) { docker(t, "kill", s.g.Resource()) }},
	{"docker rm", 18, func(t *testing.T, s *soak) { docker(t, "rm", "--force", s.g.Resource()) }},
	{"docker stop", 8, func(t *testing.T, s *soak) { docker(t, "stop", s.g.Resource()) }},
	{"docker restart", 12, func(t *testing.T, s *soak) { docker(t, "restart", s.g.Resource()) }},
	{"docker pause", 12, func(t *testing.T, s *soak) { docker(t, "pause", s.g.Resource()) }},
	{"network removed", 10, func(t *testing.T, s *soak) {
		docker(t, "kill", s.g.Resource())
		docker(t, "network", "rm", s.g.Resource())
	}},
	{"host files removed", 14, func(t *testing.T, s *soak) {
		if err := os.RemoveAll(s.g.Config); err != nil {
			t.Fatal(err)
		}
	}},
	{"start killed", 16, func(t *testing.T, s *soak) {
		docker(t, "kill", s.g.Resource())
		s.killedMidway(t, "gateway", "start")
	}},
	{"stop killed", 8, func(t *testing.T, s *soak) { s.killedMidway(t, "gateway", "stop") }},
	{"server killed", 8, func(t *testing.T, s *soak) { s.killInNode(t, "openshell-server") }},
	{"containerd killed", 8, func(t *testing.T, s *soak) { s.killInNode(t, "containerd") }},
	{"sandbox made and deleted", 16, func(t *testing.T, s *soak) {
		r := s.g.CLI(t, "sandbox", "create", "--no-bootstrap", "--name", "passing", "--", "echo", "hi").Exits(t, 0)
		if r.Stdout != "hi\n" {
			t.Errorf("a sandbox said %q", r.Stdout)
		}
		s.g.CLI(t, "sandbox", "delete", "passing").Exits(t, 0)
	}},
	{"sandbox stopped and started", 10, func(t *testing.T, s *soak) {
		s.g.CLI(t, "sandbox", "stop", s.kept.Name).Exits(t, 0)
		s.g.CLI(t, "sandbox", "start", s.kept.Name).Exits(t, 0)
	}},
	{"file written in a sandbox", 8, func(t *testing.T, s *soak) {
		s.kept.sh(t, fmt.Sprintf("head -c 10000 /dev/urandom >written-%d; sync", s.cycle))
		s.want.Kept.Files = s.kept.files(t)
	}},
	{"port exposed and taken back", 6, func(t *testing.T, s *soak) {
		s.g.CLI(t, "sandbox", "expose", s.kept.Name, "9000", "--as", "passing").Exits(t, 0)
		s.g.CLI(t, "sandbox", "unexpose", s.kept.Name, "passing").Exits(t, 0)
	}},
	{"gateway reset", 4, func(t *testing.T, s *soak) { s.g.CLI(t, "gateway", "reset", "--yes").Exits(t, 0) }},
	{"gateway reload refused", 2, func(t *testing.T, s *soak) {
		s.g.CLI(t, "gateway", "reload", "--build-server", "127.0.0.1:1").Exits(t, 1)
	}},
}

// soak is a gateway that lives through mishaps.
type soak struct {
	g         *Gateway
	rng       *rand.Rand
	cycle     int
	kept, web *Box
	want      soakState
}

// soakState is what must be the same after every mishap.
type soakState struct {
	Fingerprint Fingerprint
	Kept, Web   boxState
	Asleep      string // status of the sandbox that was stopped
	Routes      []map[string]any
}

type boxState struct {
	ID, HostKey, Status string
	Files               []string
}

func (b *Box) files(t testing.TB) []string {
	t.Helper()
	return strings.Split(b.sh(t, "find . -type f -not -path './.*' -exec sha256sum {} + | sort; find . -type l -printf '%p %l\\n' | sort"), "\n")
}

func (s *soak) box(t testing.TB, b *Box) boxState {
	t.Helper()
	info := b.info(t)
	return boxState{info.ID, info.Fingerprint, info.Status, b.files(t)}
}

// routes is the one that leads to the sandbox web, once the server has found it
// again; addresses of pods are new after a boot.
func (s *soak) routes(t testing.TB) []map[string]any {
	t.Helper()
	var list struct {
		Routes []map[string]any `json:"routes"`
	}
	eventually(t, time.Minute, "the route leads to its sandbox", func() bool {
		list.Routes = nil
		s.g.CLI(t, "gateway", "routes", "-o", "json").Exits(t, 0).JSON(t, &list)
		return len(list.Routes) == 1 && list.Routes[0]["state"] == "live"
	})
	for _, route := range list.Routes {
		delete(route, "ip")
	}
	return list.Routes
}

func (s *soak) look(t testing.TB) soakState {
	t.Helper()
	eventually(t, 2*time.Minute, "the sandboxes are ready", func() bool { return s.g.ready(t) == 2 })
	return soakState{
		Fingerprint: s.g.Fingerprint(t),
		Kept:        s.box(t, s.kept), Web: s.box(t, s.web),
		Asleep: (&Box{s.g, "asleep"}).info(t).Status,
		Routes: s.routes(t),
	}
}

// killedMidway runs openshell and kills it after a moment, if it has not ended
// by then.
func (s *soak) killedMidway(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(openshellBin, args...)
	cmd.Env = append(os.Environ(), s.g.Env()...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Duration(50+s.rng.IntN(2500))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // killed or not
	timer.Stop()
}

// killInNode kills every process of the node that runs a program.
func (s *soak) killInNode(t *testing.T, program string) {
	t.Helper()
	const longest = 15 // of what the kernel keeps of a name
	s.g.Sh(t, fmt.Sprintf(`killed=
		for p in /proc/[0-9]*; do
			name=$(cat "$p/comm" 2>/dev/null || true)
			if [ "$name" = %s ]; then kill -9 "${p#/proc/}" && killed=1; fi
		done
		test -n "$killed"`, program[:min(longest, len(program))]))
}

// usage is the memory of the container and the size of the volume, in MiB.
func (s *soak) usage(t *testing.T) (memory, volume int) {
	t.Helper()
	words := strings.Fields(docker(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", s.g.Resource()))
	unit := map[string]float64{"GiB": 1024, "MiB": 1}[words[0][len(words[0])-3:]]
	number, err := strconv.ParseFloat(words[0][:len(words[0])-3], 64)
	if err != nil || unit == 0 {
		t.Fatalf("memory of the container: %q", words[0])
	}
	size, err := strconv.Atoi(strings.Fields(s.g.Sh(t, "du -sm "+nodeapi.VolumeRoot))[0])
	if err != nil {
		t.Fatal(err)
	}
	return int(number * unit), size
}

// Two hundred times something goes wrong right after something was written; two
// hundred times it is all there, and in the end nothing is left on the host.
func TestPitfall23TwoHundredCycles(t *testing.T) {
	began := time.Now()
	g := started(t, "soak")
	g.Keep(t)
	s := &soak{g: g, rng: rand.New(rand.NewPCG(*soakSeed, 0)), kept: &Box{g, "kept"}, web: &Box{g, "web"}}
	create := func(name string, command ...string) {
		g.CLI(t, append([]string{"sandbox", "create", "--no-bootstrap", "--name", name, "--detach"}, command...)...).Exits(t, 0)
	}
	create("kept")
	create("web", "--", "sh", "-c", "mkdir -p site; echo hello >site/index.html; exec python3 -m http.server --directory site 8000")
	create("asleep")
	g.CLI(t, "sandbox", "stop", "asleep").Exits(t, 0)
	g.CLI(t, "sandbox", "expose", "web", "8000").Exits(t, 0)
	s.kept.sh(t, "head -c 1000000 /dev/urandom >noise; mkdir -p deep/er; ln -s ../noise deep/link")
	s.want = s.look(t)

	var order []mishap
	for _, m := range mishaps {
		for range m.share {
			order = append(order, m)
		}
	}
	s.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	took := map[string][]time.Duration{}
	var memory, volume int
	for i := range *soakCycles {
		m := order[i%len(order)]
		s.cycle = i + 1
		s.survives(t, m, took)
		if s.cycle == 5 {
			memory, volume = s.usage(t)
		}
	}
	if written := strings.Fields(g.Kubectl(t, "get", "configmap", "--namespace", keptNamespace, "--selector", "soak=cycle", "-o", "name")); len(written) != *soakCycles {
		t.Errorf("of %d objects written before a mishap there are %d", *soakCycles, len(written))
	}
	if *soakCycles > 5 {
		nowMemory, nowVolume := s.usage(t)
		t.Logf("memory %d MiB, volume %d MiB; after 5 cycles %d and %d", nowMemory, nowVolume, memory, volume)
		if nowMemory > memory*3/2+150 {
			t.Errorf("memory grew from %d to %d MiB", memory, nowMemory)
		}
		if nowVolume > volume*3/2+200 {
			t.Errorf("the volume grew from %d to %d MiB", volume, nowVolume)
		}
	}
	g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
	g.hostBaseline(t)
	t.Logf("summary: soak: %d cycles of %d kinds in %d s", *soakCycles, len(took), int(time.Since(began).Seconds()))
	for _, name := range slices.Sorted(maps.Keys(took)) {
		each := took[name]
		slices.Sort(each)
		t.Logf("summary: soak: %4d x %-28s median %5.1f s, longest %5.1f s", len(each), name, each[len(each)/2].Seconds(), each[len(each)-1].Seconds())
	}
}

// survives lets one mishap happen, starts the gateway and compares.
func (s *soak) survives(t *testing.T, m mishap, took map[string][]time.Duration) {
	began := time.Now()
	object := fmt.Sprintf("cycle-%d", s.cycle)
	s.g.Apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":%q,"labels":{"soak":"cycle"}}}`, object, keptNamespace))
	m.happens(t, s)
	r := s.g.Start(t)
	if diff := cmp.Diff(s.want, s.look(t)); diff != "" {
		t.Fatalf("cycle %d, %s: not as it was (-before +after):\n%s\n%s", s.cycle, m.name, diff, r)
	}
	took[m.name] = append(took[m.name], time.Since(began))
	t.Logf("cycle %d, %s: start %.1f s, all %.1f s", s.cycle, m.name, r.Took.Seconds(), time.Since(began).Seconds())
}
