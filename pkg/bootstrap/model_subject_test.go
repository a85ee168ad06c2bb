package bootstrap

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap/model"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// subject is a gateway on the fake engine beside its model.
type subject struct {
	*rig
	world   *model.World
	gens    map[string]int    // generation of a CA
	lasting map[int]string    // settings that no flag changes, of a generation
	garbled map[string][]byte // gateway.json before it was overwritten, of a CA
	aside   int               // names of states set aside by hand
	told    []string          // steps so far
}

// bystander is an image of other people's containers.
const bystander = "somebody/elses:1"

func newSubject(t *testing.T) *subject {
	s := &subject{
		rig: newRig(t), world: model.New(model.Settings{Port: gateway.DefaultPort}, model.Settings{Port: 9000, Memory: 512 << 20}),
		gens: map[string]int{}, lasting: map[int]string{}, garbled: map[string][]byte{},
	}
	s.engine.AddImage(nil, bystander)
	return s
}

// do lets the act happen; the error is a command's.
func (s *subject) do(act model.Act) error {
	ctx := s.t.Context()
	switch act.Name {
	case model.Start:
		opts := StartOptions{Recreate: act.Flags.Recreate, DryRun: act.Flags.DryRun, IdleTimeout: time.Second}
		if act.Flags.Port != 0 {
			opts.Port = &act.Flags.Port
		}
		if act.Flags.Memory != 0 {
			opts.Memory = &act.Flags.Memory
		}
		_, err := s.start(opts)
		return err
	case model.Stop:
		_, err := s.m.Stop(ctx, testName, s)
		return err
	case model.Destroy:
		_, err := s.m.Destroy(ctx, testName, s)
		return err
	case model.Restore:
		_, err := s.m.Restore(ctx, testName, s.asideOf(act.Gen), s)
		return err
	case model.Select:
		return s.m.Select(ctx, testName)
	case model.Use:
		_, err := s.ensure()
		return err
	case model.Status:
		_, err := s.status()
		return err
	}
	if err := s.happen(act); err != nil {
		s.t.Fatalf("%s: %v", act, err)
	}
	return nil
}

// status is the document, and the error that `gateway status` exits with.
func (s *subject) status() (Status, error) {
	status, err := s.m.Status(s.t.Context(), testName)
	if err == nil && !status.Healthy {
		err = fault.New(fault.NotRunning, fault.ExitNotRunning, "%s", status.Word)
	}
	return status, err
}

// cutShort runs a command that does not get far, and returns the states that
// were lost although nobody gave them up.
func (s *subject) cutShort(act model.Act) (lost []string) {
	before := s.states()
	s.cutAt(act.Kind, act.Cut)
	_ = s.do(act)
	s.uncut()
	if act.Name == model.Destroy || act.Flags.Recreate {
		return nil
	}
	kept := slices.Collect(maps.Values(s.states()))
	for _, ca := range before {
		if gen := s.gens[ca]; s.lasting[gen] != "" && !slices.Contains(kept, ca) {
			lost = append(lost, ca)
		}
	}
	return lost
}

// happen is the events of the model.
func (s *subject) happen(act model.Act) error {
	f, ctx := s.engine, s.t.Context()
	volume := func(p string, data []byte) { f.PutVolumeFile(resource, p, 0o600, data) }
	switch act.Name {
	case model.Kill:
		f.Kill(resource)
	case model.Remove:
		f.Remove(resource)
	case model.DockerStop:
		return f.StopContainer(ctx, resource, 0)
	case model.DockerStart:
		return f.StartContainer(ctx, resource)
	case model.Pause:
		return f.PauseContainer(ctx, resource)
	case model.Unpause:
		return f.UnpauseContainer(ctx, resource)
	case model.Policy:
		return f.SetRestartPolicy(ctx, resource, "no")
	case model.Die:
		f.SetState(resource, docker.StateDead)
	case model.NodeExit:
		f.Exit(resource, 1)
	case model.RestartEngine:
		f.RestartEngine()
	case model.EngineDown:
		f.Intercept(func(c dockertest.Call) error {
			return docker.NewError(docker.Unreachable, c.Op, c.Ref, "connection refused")
		})
	case model.EngineUp:
		f.Intercept(nil)
	case model.NetworkGone:
		f.DropNetwork(resource)
	case model.Overlap:
		n, err := f.Network(ctx, resource)
		s.routes = append(s.routes, HostRange{n.Subnets[0], "tun0"})
		return err
	case model.VolumeGone:
		if _, ok := s.container(); ok {
			s.forgetVolume()
			return nil
		}
		return f.RemoveVolume(ctx, resource)
	case model.FilesGone:
		return os.RemoveAll(s.root)
	case model.Occupy:
		s.held[act.Port] = "process nginx (1)"
		f.OccupyPort(act.Port, "tcp", true)
	case model.Free:
		delete(s.held, act.Port)
		f.OccupyPort(act.Port, "tcp", false)
	case model.ForeignComes, model.ForeignGoes:
		return s.foreign(act)
	case model.Untag:
		f.RemoveImage(rigImage)
	case model.ImageGone:
		images, err := f.Images(ctx, map[string]string{imageLabel: imageKind})
		for _, image := range images {
			f.RemoveImage(image.ID)
		}
		return err
	case model.ImageBuilt:
		f.AddImage(map[string]string{imageLabel: imageKind, imageVersionLabel: rigVersion}, rigImage)
	case model.Garble:
		s.garbled[s.identity()] = f.VolumeFiles(resource)[settingsFile].Data
		volume(settingsFile, []byte(`{"version": 1,`))
	case model.Ungarble:
		volume(settingsFile, s.garbled[s.identity()])
	case model.Damage:
		volume(damageFile, []byte("?"))
	case model.Undamage:
		volume(damageFile, nil)
	case model.SetAside:
		s.aside++
		f.MoveVolumeDir(resource, "current", fmt.Sprintf("aside-20250101T%06dZ", s.aside))
	case model.BreakNode, model.MendNode:
		s.crash = act.Name == model.BreakNode
	case model.GoMute:
		s.sick = errors.New("503 Service Unavailable")
	case model.Speak:
		s.sick = nil
	default:
		return errors.New("not known")
	}
	return nil
}

const settingsFile = "current/gateway.json"

// foreign makes or removes what somebody else has by the gateway's name.
func (s *subject) foreign(act model.Act) error {
	f, ctx, labels := s.engine, s.t.Context(), map[string]string{"owner": "somebody"}
	switch act.Kind + " " + act.Name {
	case "container " + model.ForeignComes:
		_, err := f.CreateContainer(ctx, docker.ContainerSpec{Name: resource, Image: bystander, Labels: labels, Network: "none"})
		return err
	case "container " + model.ForeignGoes:
		return f.RemoveContainer(ctx, resource)
	case "volume " + model.ForeignComes:
		return f.CreateVolume(ctx, resource, labels)
	case "volume " + model.ForeignGoes:
		return f.RemoveVolume(ctx, resource)
	case "network " + model.ForeignComes:
		return f.CreateNetwork(ctx, resource, netip.MustParsePrefix("192.168.77.0/24"), labels)
	}
	return f.RemoveNetwork(ctx, resource)
}

// asideOf is the name of the aside that a generation is set aside as.
func (s *subject) asideOf(gen int) string {
	for dir, ca := range s.states() {
		if dir != "current" && s.gens[ca] == gen {
			return dir
		}
	}
	return "aside-20200101T000000Z"
}

// facts looks everything up. A generation that is seen for the first time is the
// one that the model has just made.
func (s *subject) facts(want model.Facts) model.Facts {
	status, err := s.status()
	got := model.Facts{Word: string(status.Word), StatusExit: fault.ExitOf(err), Volume: s.engine.VolumeFiles(resource) != nil}
	if got.Word == "" {
		got.Word = string(Unknown)
		if !fault.HasID(err, fault.DockerUnreachable) {
			got.Wrong = append(got.Wrong, "status: "+err.Error())
		}
	}
	if s.world.Down {
		s.engine.Intercept(nil)
		defer func() {
			if err := s.happen(model.Act{Name: model.EngineDown}); err != nil {
				s.t.Fatal(err)
			}
		}()
	}
	if _, known := s.gens[s.identity()]; !known && s.identity() != "" && want.Present.Gen != 0 && s.lasting[want.Present.Gen] == "" {
		s.gens[s.identity()] = want.Present.Gen
	}
	s.containerFacts(&got)
	s.networkFacts(&got)
	for dir := range s.dirs() {
		state, wrong := s.state(dir)
		got.Wrong = append(got.Wrong, wrong...)
		if dir == "current" {
			got.Present = state
		} else {
			got.Asides = append(got.Asides, state)
		}
	}
	model.SortStates(got.Asides)
	if v, err := s.engine.Volume(s.t.Context(), resource); err == nil && !testName.Owns(v.Labels) {
		got.Volume, got.Foreign = false, append(got.Foreign, "volume")
	}
	slices.Sort(got.Foreign)
	if bundle, err := s.host.Bundle(testName); err == nil {
		got.Bundle = s.gens[string(bundle.CA)]
	}
	active, err := s.host.Active()
	got.Selected = err == nil && active == testName
	return got
}

func (s *subject) containerFacts(got *model.Facts) {
	if _, left := s.engine.Inspect(helperName(testName)); left {
		got.Wrong = append(got.Wrong, "a helper container is there")
	}
	c, ok := s.container()
	if !ok {
		return
	}
	if !testName.Owns(c.Labels) {
		got.Foreign = append(got.Foreign, "container")
		return
	}
	got.Container = string(c.State)
	if !up(&c) {
		return
	}
	for _, p := range c.Ports {
		if p.Container == apiContainerPort {
			got.Settings.Port = p.Host
		}
	}
	got.Settings.Memory = c.Memory
	if c.Hostname != testName.Hostname() || c.Volumes[stateMount] != resource {
		got.Wrong = append(got.Wrong, fmt.Sprintf("container %s with volumes %v", c.Hostname, c.Volumes))
	}
}

func (s *subject) networkFacts(got *model.Facts) {
	n, err := s.engine.Network(s.t.Context(), resource)
	switch {
	case err != nil:
	case !testName.Owns(n.Labels):
		got.Foreign = append(got.Foreign, "network")
	default:
		got.Network = true
	}
}

// dirs are the states on the volume, by directory.
func (s *subject) dirs() map[string]bool {
	out := map[string]bool{}
	for p := range s.engine.VolumeFiles(resource) {
		dir, _, _ := strings.Cut(p, "/")
		out[dir] = true
	}
	return out
}

// state looks at one, and at what must never change of it.
func (s *subject) state(dir string) (state model.State, wrong []string) {
	files := s.engine.VolumeFiles(resource)
	state.Gen = s.gens[string(files[path.Join(dir, "etcd/ca")].Data)]
	_, state.Unreadable = files[path.Join(dir, "etcd/damaged")]
	state.Yielded = nodeapi.IsUnreadable(dir)
	settings, err := gateway.DecodeSettings(files[path.Join(dir, "gateway.json")].Data)
	if err != nil {
		state.Garbled = true
		return state, nil
	}
	state.Settings, state.Initialized = model.Settings{Port: settings.Port, Memory: settings.Memory}, settings.Initialized != nil
	if !state.Initialized {
		return state, nil
	}
	lasting := fmt.Sprint(settings.Name, settings.Bind, settings.HTTPPort, settings.Network.PodCIDR, settings.Network.ServiceCIDR,
		settings.Image.Version, settings.CreatedAt, settings.Initialized)
	if was := s.lasting[state.Gen]; was != "" && was != lasting {
		wrong = append(wrong, fmt.Sprintf("settings of %d were %s and are %s", state.Gen, was, lasting))
	}
	s.lasting[state.Gen] = lasting
	return state, wrong
}
