//go:build e2e || soak

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/bootstrap/model"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

var modelSeed = flag.Uint64("model.seed", 1, "what happens in the sequences of TestModel")

// A gateway on a real engine is called what the table of the contract calls it,
// whatever happens; commands end as the table says, and what has to survive
// does. Package bootstrap does the same with thousands of sequences.
func TestModel(t *testing.T) {
	t.Parallel()
	steps := 0
	began := time.Now()
	for i := range modelSequences {
		seed := *modelSeed + uint64(i)
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := newModelSubject(t)
			rng := rand.New(rand.NewPCG(seed, 0))
			s.step(t, model.Act{Name: model.Start})
			for range modelSteps - 1 {
				s.step(t, s.next(rng))
			}
			steps += modelSteps
			s.foreignGoes(t)
			s.listener.close()
			s.g.CLI(t, "gateway", "destroy", "--yes").Exits(t, 0)
			s.g.hostBaseline(t)
		})
		if !ok {
			return
		}
	}
	t.Logf("summary: model: %d sequences, %d steps in %d s", modelSequences, steps, int(time.Since(began).Seconds()))
}

// modelSubject is a gateway beside its model.
type modelSubject struct {
	g        *Gateway
	world    *model.World
	told     []string
	down     []string       // environment in which no engine answers
	gens     map[string]int // generation of the certificate authority of a node
	bundles  map[string]int // of a gateway's
	secrets  map[int]string // checksums, by generation
	garbled  map[int]string // gateway.json before it was overwritten
	aside    int
	listener portHolder
}

// portHolder are ports that this process listens on.
type portHolder map[int]net.Listener

func (p portHolder) close() {
	for port, l := range p {
		l.Close()
		delete(p, port)
	}
}

func newModelSubject(t *testing.T) *modelSubject {
	g := newGateway(t, "model")
	s := &modelSubject{
		g: g, world: model.New(model.Settings{Port: g.Port}, model.Settings{Port: freePort(t), Memory: 2 << 30}),
		down: []string{"DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "docker.sock"), "DOCKER_CONTEXT="},
		gens: map[string]int{}, bundles: map[string]int{}, secrets: map[int]string{}, garbled: map[int]string{}, listener: portHolder{},
	}
	t.Cleanup(func() {
		s.foreignGoes(t)
		s.listener.close()
	})
	return s
}

// next is as often a command as something that happens.
func (s *modelSubject) next(rng *rand.Rand) model.Act {
	acts := s.world.Commands()
	if rng.IntN(2) == 0 {
		acts = s.world.Events()
	}
	acts = slices.DeleteFunc(acts, func(a model.Act) bool { return !s.can(a) })
	return acts[rng.IntN(len(acts))]
}

// can reports that an act is possible on an engine that others use as well.
func (s *modelSubject) can(a model.Act) bool {
	switch a.Name {
	case model.Use, model.RestartEngine, model.Die, model.Untag, model.ImageGone, model.ImageBuilt, model.Overlap,
		model.BreakNode, model.MendNode, model.GoMute, model.Speak:
		return false
	case model.VolumeGone:
		return s.world.Container == nil
	}
	return true
}

// step lets the act happen to the model and to the gateway, and compares.
func (s *modelSubject) step(t *testing.T, act model.Act) {
	t.Helper()
	began := time.Now()
	s.told = append(s.told, act.String())
	word := s.world.Word()
	want := s.world.Do(act)
	if code, is := s.command(t, act, word); !is {
		s.happen(t, act)
	} else if !slices.Contains(want, fault.Exit(code)) {
		t.Fatalf("%s\nended with %d, the contract says %v", strings.Join(s.told, "\n"), code, want)
	}
	facts := s.world.Facts()
	var diff string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(300 * time.Millisecond) { // a boot by Docker's hand takes its time
		diff = cmp.Diff(facts, s.facts(t, facts), cmpopts.EquateEmpty())
		if diff == "" || want != nil || time.Now().After(deadline) {
			break
		}
	}
	if diff != "" {
		t.Fatalf("%s\nand then (-contract +product):\n%s", strings.Join(s.told, "\n"), diff)
	}
	t.Logf("%-12s %s: %.1f s", facts.Word, act, time.Since(began).Seconds())
}

// cli runs openshell; without an engine when the model says so.
func (s *modelSubject) cli(t *testing.T, args ...string) Result {
	t.Helper()
	env := s.g.Env()
	if s.world.Down {
		env = append(env, s.down...)
	}
	return run(t, env, "", openshellBin, args...)
}

// command runs a command and returns its exit code, if the act is one. word is
// the state before it.
func (s *modelSubject) command(t *testing.T, act model.Act, word string) (code int, is bool) {
	t.Helper()
	args := []string{"gateway", act.Name}
	switch act.Name {
	case model.Start:
		f := act.Flags
		if word == "absent" || f.Recreate { // the usual ports may be somebody else's
			args = append(args, "--http-port", strconv.Itoa(freePort(t)))
			if f.Port == 0 {
				f.Port = s.g.Port
			}
		}
		if f.Port != 0 {
			args = append(args, "--port", strconv.Itoa(f.Port))
		}
		if f.Memory != 0 {
			args = append(args, "--memory", strconv.FormatInt(f.Memory, 10))
		}
		args = append(args, "--recreate="+strconv.FormatBool(f.Recreate), "--dry-run="+strconv.FormatBool(f.DryRun))
	case model.Destroy:
		args = append(args, "--yes")
	case model.Restore:
		args = append(args, s.asideOf(t, act.Gen))
	case model.Select:
		args = append(args, string(s.g.Name))
	case model.Stop, model.Status:
	default:
		return 0, false
	}
	r := s.cli(t, args...)
	t.Log(strings.Join(r.Args, " "), strings.TrimSpace(r.Stderr))
	return r.Code, true
}

// happen is the events of the model.
func (s *modelSubject) happen(t *testing.T, act model.Act) {
	t.Helper()
	g, resource := s.g, s.g.Resource()
	switch act.Name {
	case model.Kill:
		docker(t, "kill", resource)
	case model.Remove:
		docker(t, "rm", "--force", resource)
	case model.DockerStop:
		docker(t, "stop", resource)
	case model.DockerStart:
		docker(t, "start", resource)
	case model.Pause:
		docker(t, "pause", resource)
	case model.Unpause:
		docker(t, "unpause", resource)
	case model.Policy:
		docker(t, "update", "--restart=no", resource)
	case model.NodeExit:
		pid, err := strconv.Atoi(g.Inspect(t, "{{.State.Pid}}"))
		if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "Docker has seen it", func() bool { return g.Inspect(t, "{{.State.Pid}}") != strconv.Itoa(pid) })
	case model.EngineDown, model.EngineUp: // see cli
	case model.NetworkGone:
		docker(t, "network", "rm", resource)
	case model.VolumeGone:
		docker(t, "volume", "rm", resource)
	case model.FilesGone:
		if err := os.RemoveAll(g.Config); err != nil {
			t.Fatal(err)
		}
	case model.Occupy:
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(act.Port)))
		if err != nil {
			t.Fatal(err)
		}
		s.listener[act.Port] = l
	case model.Free:
		s.listener[act.Port].Close()
		delete(s.listener, act.Port)
	case model.ForeignComes:
		args := []string{act.Kind, "create", "--label", "owner=somebody"}
		if act.Kind == "container" {
			args = append(args, "--network", "none", "--name", resource, nodeImage(t))
		} else {
			args = append(args, resource)
		}
		docker(t, args...)
	case model.ForeignGoes:
		s.foreignGoes(t)
	case model.SetAside:
		s.aside++
		docker(t, "container", "run", "--rm", "--network", "none", "--volume", resource+":"+nodeapi.VolumeRoot, "--entrypoint", nodeapi.Binary,
			nodeImage(t), nodeapi.CmdVolume, "set-aside", fmt.Sprintf("%s20260102T%06dZ", nodeapi.AsidePrefix, s.aside))
	case model.Garble:
		s.garbled[s.world.Facts().Present.Gen] = g.OnVolume(t, "", "cat current/gateway.json")
		g.OnVolume(t, `{"version": 1,`, "cat >current/gateway.json")
	case model.Ungarble:
		g.OnVolume(t, s.garbled[s.world.Facts().Present.Gen], "cat >current/gateway.json")
	case model.Damage:
		g.OnVolume(t, "", "mv current/etcd current/etcd-kept")
	case model.Undamage:
		g.OnVolume(t, "", "rm -rf current/etcd; mv current/etcd-kept current/etcd")
	default:
		t.Fatalf("%s is not known", act)
	}
}

// foreignGoes removes what has the gateway's name and not its labels.
func (s *modelSubject) foreignGoes(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"container", "volume", "network"} {
		if s.g.exists(t, kind) && s.foreign(t, kind) {
			docker(t, kind, "rm", s.g.Resource())
		}
	}
}

func (s *modelSubject) foreign(t *testing.T, kind string) bool {
	t.Helper()
	format := "{{json .Labels}}"
	if kind == "container" {
		format = "{{json .Config.Labels}}"
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(docker(t, kind, "inspect", "--format", format, s.g.Resource())), &labels); err != nil {
		t.Fatal(err)
	}
	return labels["owner"] == "somebody"
}

// asideOf is the name of the aside that a generation is set aside as.
func (s *modelSubject) asideOf(t *testing.T, gen int) string {
	t.Helper()
	for _, dir := range s.dirs(t) {
		if dir.name != "current" && s.gens[dir.ca] == gen {
			return dir.name
		}
	}
	return nodeapi.AsidePrefix + "20200102T030405Z"
}

// stateDir is a state on the volume.
type stateDir struct{ name, ca, damaged, settings string }

func (s *modelSubject) dirs(t *testing.T) []stateDir {
	t.Helper()
	if !s.g.exists(t, "volume") || s.foreign(t, "volume") {
		return nil // and Docker is not to make one
	}
	var dirs []stateDir
	for line := range strings.Lines(s.g.OnVolume(t, "", `for d in current `+nodeapi.AsidePrefix+`*; do
		[ -d $d ] || continue
		damaged=no; [ ! -e $d/etcd-kept ] || damaged=yes
		echo $d $(sha256sum <$d/pki/ca.crt | cut -c1-16) $damaged "$(jq -c . $d/gateway.json 2>/dev/null || echo garbled)"
	done`)) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		dirs = append(dirs, stateDir{words[0], words[1], words[2], words[3]})
	}
	return dirs
}

// facts looks everything up. A generation that is seen for the first time is the
// one that the model has just made.
func (s *modelSubject) facts(t *testing.T, want model.Facts) model.Facts {
	t.Helper()
	r := s.cli(t, "gateway", "status", "-o", "json")
	var status bootstrap.Status
	r.JSON(t, &status)
	got := model.Facts{Word: string(status.Word), StatusExit: fault.Exit(r.Code), Selected: status.Active}
	if s.world.Down {
		active, err := os.ReadFile(filepath.Join(s.g.Config, "openshell", "active_gateway"))
		got.Selected = err == nil && strings.TrimSpace(string(active)) == string(s.g.Name)
	}
	for _, kind := range []string{"container", "network", "volume"} {
		switch {
		case !s.g.exists(t, kind):
		case s.foreign(t, kind):
			got.Foreign = append(got.Foreign, kind)
		case kind == "container":
			s.containerFacts(t, &got)
		default:
			got.Network, got.Volume = got.Network || kind == "network", got.Volume || kind == "volume"
		}
	}
	slices.Sort(got.Foreign)
	for _, dir := range s.dirs(t) {
		if _, known := s.gens[dir.ca]; !known && dir.name == "current" {
			s.gens[dir.ca] = want.Present.Gen
		}
		state := model.State{Gen: s.gens[dir.ca], Unreadable: dir.damaged == "yes"}
		settings, err := gateway.DecodeSettings([]byte(dir.settings))
		if state.Garbled = err != nil; err == nil {
			state.Settings, state.Initialized = model.Settings{Port: settings.Port, Memory: settings.Memory}, settings.Initialized != nil
		}
		if dir.name == "current" {
			got.Present = state
		} else {
			got.Asides = append(got.Asides, state)
		}
	}
	model.SortStates(got.Asides)
	ca, err := os.ReadFile(s.g.Bundle("ca.crt"))
	if err == nil {
		if got.Word == "running" && s.bundles[string(ca)] == 0 {
			s.bundles[string(ca)] = want.Present.Gen
		}
		got.Bundle = s.bundles[string(ca)]
	}
	if got.Word == "running" {
		got.Wrong = append(got.Wrong, s.secretsChanged(t, got.Present.Gen)...)
	}
	if left := run(t, nil, "", "docker", "container", "ls", "--all", "--quiet", "--filter", "name=openshell-helper-"+string(s.g.Name)).Stdout; left != "" {
		got.Wrong = append(got.Wrong, "a helper container is there")
	}
	return got
}

func (s *modelSubject) containerFacts(t *testing.T, got *model.Facts) {
	t.Helper()
	var c struct {
		State      struct{ Status string }
		HostConfig struct {
			Memory       int64
			PortBindings map[string][]struct{ HostPort string }
		}
	}
	if err := json.Unmarshal([]byte(s.g.Inspect(t, "{{json .}}")), &c); err != nil {
		t.Fatal(err)
	}
	got.Container = c.State.Status
	if got.Container != "running" && got.Container != "paused" {
		return
	}
	got.Settings.Memory = c.HostConfig.Memory
	if bound := c.HostConfig.PortBindings["30051/tcp"]; len(bound) == 1 {
		got.Settings.Port, _ = strconv.Atoi(bound[0].HostPort)
	}
}

// secretsChanged compares the Secrets of a running gateway with what they were
// when its generation was seen first.
func (s *modelSubject) secretsChanged(t *testing.T, gen int) []string {
	t.Helper()
	secrets := s.g.Kubectl(t, "get", "secrets", "--all-namespaces", "--output",
		`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.data}{"\n"}{end}`)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(secrets)))
	if was := s.secrets[gen]; was != "" && was != sum {
		return []string{"the Secrets were changed"}
	}
	s.secrets[gen] = sum
	return nil
}
