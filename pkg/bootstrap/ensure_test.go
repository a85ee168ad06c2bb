package bootstrap

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/nodeapi"
)

func TestDecideEnsure(t *testing.T) {
	aside := []string{"aside-20260101T000000Z" + nodeapi.UnreadableSuffix}
	fails := func(id fault.ID) attempt { return attempt{err: fault.New(id, fault.ExitFailure, "x")} }
	unreadable := fails(fault.StateDamaged)
	unreadable.unreadable = true
	beside := fails(fault.NodeFailed)
	beside.beside = true
	for name, c := range map[string]struct {
		tries  []attempt
		asides []string
		want   ensureStep
	}{
		"healthy":                       {[]attempt{{}}, nil, ensureDone},
		"healthy at the second attempt": {[]attempt{fails(fault.NodeFailed), {}}, nil, ensureDone},
		"the node failed":               {[]attempt{fails(fault.NodeFailed)}, nil, ensureAgain},
		"the node failed twice":         {[]attempt{fails(fault.NodeFailed), fails(fault.NodeFailed)}, nil, ensureFail},
		"the API failed":                {[]attempt{fails(fault.ClusterError)}, nil, ensureAgain},
		"Docker hiccup":                 {[]attempt{fails(fault.DockerFailed)}, nil, ensureAgain},
		"Docker hiccups":                {[]attempt{fails(fault.DockerFailed), fails(fault.DockerUnreachable)}, nil, ensureFail},
		"taken port":                    {[]attempt{fails(fault.PortInUse)}, nil, ensureFail},
		"full disk":                     {[]attempt{fails(fault.HostUnfit)}, nil, ensureFail},
		"idle":                          {[]attempt{fails(fault.IdleTimeout)}, nil, ensureFail},
		"interrupted":                   {[]attempt{fails(fault.Interrupted)}, nil, ensureFail},
		"foreign":                       {[]attempt{fails(fault.Foreign)}, nil, ensureFail},
		"damaged settings":              {[]attempt{fails(fault.StateDamaged)}, nil, ensureFail},
		"volume gone":                   {[]attempt{fails(fault.StateLost)}, nil, ensureFail},
		"unreadable":                    {[]attempt{unreadable}, nil, ensureAgain},
		"unreadable twice":              {[]attempt{unreadable, unreadable}, nil, ensureAside},
		"unreadable after a hiccup":     {[]attempt{fails(fault.DockerFailed), unreadable}, nil, ensureAside},
		"unreadable, then idle":         {[]attempt{unreadable, fails(fault.IdleTimeout)}, nil, ensureFail},
		"unreadable, one set aside":     {[]attempt{unreadable, unreadable}, aside, ensureRefuse},
		"interrupted behind the aside":  {[]attempt{fails(fault.StateLost)}, aside, ensureBeside},
		"fresh after the aside":         {[]attempt{unreadable, unreadable, {beside: true}}, nil, ensureDone},
		"fresh after the aside fails":   {[]attempt{unreadable, unreadable, beside}, nil, ensureFail},
		"the second attempt finds the aside of another": {[]attempt{unreadable, fails(fault.StateLost)}, aside, ensureBeside},
	} {
		if got := decideEnsure(c.tries, c.asides); got != c.want {
			t.Errorf("%s: step %d, want %d", name, got, c.want)
		}
	}
}

func (r *rig) ensure() (EnsureResult, error) {
	r.events = nil
	return r.m.Ensure(r.t.Context(), EnsureOptions{Name: testName}, r)
}

// damage makes the state one that the node cannot read, of a stopped gateway.
func (r *rig) damage() {
	r.t.Helper()
	r.stop()
	r.engine.PutVolumeFile(resource, damageFile, 0o600, []byte("?"))
}

// heal repairs a state, wherever it is.
func (r *rig) heal() {
	for p := range r.engine.VolumeFiles(resource) {
		if strings.HasSuffix(p, "/etcd/damaged") {
			r.engine.PutVolumeFile(resource, p, 0, nil)
		}
	}
}

// states are the CAs on the volume by the directory they are in.
func (r *rig) states() map[string]string {
	out := map[string]string{}
	for p, file := range r.engine.VolumeFiles(resource) {
		if dir, ok := strings.CutSuffix(p, "/etcd/ca"); ok {
			out[dir] = string(file.Data)
		}
	}
	return out
}

func TestEnsureStartsAndResumes(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		if res, err := r.ensure(); err != nil || res.Start.Action != "fresh" || res.Aside != "" {
			t.Fatalf("%+v, %v", res, err)
		}
		before := r.identity()
		r.stop()
		if res, err := r.ensure(); err != nil || res.Start.Action != "resume" || r.identity() != before {
			t.Errorf("%+v, %v, identity %q", res, err, r.identity())
		}
		if res, err := r.ensure(); err != nil || res.Start.Action != "none" {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

func TestEnsureTriesOnceMore(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		before := r.identity()
		r.stop()
		r.engine.Fail("StartContainer", 1, docker.NewError(docker.Other, "start container", resource, "context deadline exceeded"))
		if _, err := r.ensure(); err != nil || r.identity() != before || !r.said("trying once more") {
			t.Errorf("%v, identity %q, %+v", err, r.identity(), r.events)
		}
	})
}

func TestPitfall07OnlyAnUnreadableStateGivesWay(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{Port: ptr(9000), Memory: ptr(int64(2 << 30))})
		old := r.identity()
		r.damage()
		res, err := r.ensure()
		if err != nil || !nodeapi.IsUnreadable(res.Aside) || res.Start.Endpoint != "https://127.0.0.1:9000" {
			t.Fatalf("%+v, %v, hints %q", res, err, hints(err))
		}
		if s := r.settings(); s.Memory != 2<<30 || s.Initialized == nil {
			t.Errorf("the new gateway has the settings %+v", s)
		}
		if states := r.states(); states[res.Aside] != old || states["current"] == old || len(states) != 2 {
			t.Errorf("on the volume: %v, the old one is %q", states, old)
		}
		if !r.said(res.Restore) || !strings.Contains(res.Restore, "gateway restore "+res.Aside) {
			t.Errorf("how to restore it was not said: %q, %+v", res.Restore, r.events)
		}

		// At most one: the next such state stays where it is.
		second := r.identity()
		r.damage()
		before := r.states()
		_, err = r.ensure()
		if !fault.HasID(err, fault.StateDamaged) || fault.ExitOf(err) != fault.ExitDecision || !strings.Contains(strings.Join(hints(err), "\n"), res.Restore) {
			t.Errorf("%v, hints %q", err, hints(err))
		}
		if diff := cmp.Diff(before, r.states()); diff != "" {
			t.Error(diff)
		}

		// A restore brings the first back, and sets the second aside by the user's hand.
		if _, err := r.m.Restore(t.Context(), testName, res.Aside, r); err != nil {
			t.Fatal(err)
		}
		r.heal()
		if _, err := r.ensure(); err != nil || r.identity() != old {
			t.Fatalf("%v, identity %q, want %q", err, r.identity(), old)
		}
		r.damage()
		if res, err = r.ensure(); err != nil || !nodeapi.IsUnreadable(res.Aside) {
			t.Errorf("%+v, %v", res, err)
		}
		if states := slices.Sorted(maps.Values(r.states())); !slices.Contains(states, old) || !slices.Contains(states, second) || len(states) != 3 {
			t.Errorf("on the volume: %v", r.states())
		}
	})
}

// Whatever else goes wrong, the state stays the present one.
func TestPitfall07NothingElseLeadsToAnAside(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(r *rig)
		exit   fault.Exit
	}{
		"taken port":       {func(r *rig) { r.held[8080] = "process nginx (812)" }, fault.ExitConflict},
		"full disk":        {func(r *rig) { r.verdict(nodeapi.FailureDiskFull) }, fault.ExitFailure},
		"damaged settings": {func(r *rig) { r.verdict(nodeapi.FailureSettings) }, fault.ExitDecision},
		"unfit host":       {func(r *rig) { r.verdict(nodeapi.FailureHost) }, fault.ExitFailure},
		"something new":    {func(r *rig) { r.verdict("something new") }, fault.ExitFailure},
		"crash loop":       {func(r *rig) { r.crash = true }, fault.ExitFailure},
		"no progress":      {func(r *rig) { r.sick, r.boot = errors.New("503"), fullBoot[:2] }, fault.ExitTimeout},
		"Kubernetes API":   {func(r *rig) { r.clusterErr = errors.New("etcdserver: request timed out") }, fault.ExitFailure},
		"unreadable gateway.json": {func(r *rig) {
			r.engine.PutVolumeFile(resource, "current/gateway.json", 0o600, []byte("{"))
		}, fault.ExitDecision},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				before := r.identity()
				r.stop()
				c.break_(r)
				res, err := r.ensure()
				if fault.ExitOf(err) != c.exit || res.Aside != "" {
					t.Errorf("exit %d, want %d: %v, %+v", fault.ExitOf(err), c.exit, err, res)
				}
				if states := r.states(); states["current"] != before || len(states) != 1 {
					t.Errorf("on the volume: %v", states)
				}
			})
		})
	}
}

func (r *rig) verdict(id string) {
	r.sick, r.failure = errors.New("503"), &nodeapi.Failure{ID: id, Message: "the reason"}
}

// The way from an unreadable state to a fresh gateway is cut short at every
// call; the next Ensure gets there, and the old state is kept exactly once.
func TestPitfall05EnsureInterruptedAnywhereThenConverges(t *testing.T) {
	for _, kind := range []string{"error", "lost answer", "death"} {
		t.Run(kind, func(t *testing.T) {
			for n := 1; ; n++ {
				if over := ensureInterruptedAt(t, kind, n); over {
					t.Logf("%d calls", n-1)
					return
				}
			}
		})
	}
}

func ensureInterruptedAt(t *testing.T, kind string, n int) (over bool) {
	t.Helper()
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		old := r.identity()
		r.damage()
		cut, count := r.cutAt(kind, n)
		_, err := r.ensure()
		r.uncut()
		if count() < n {
			over = true
			if err != nil {
				t.Errorf("not interrupted, and yet: %v", err)
			}
			return
		}
		if _, err := r.ensure(); err != nil {
			t.Errorf("call %d (%s): the next one: %v, hints %q", n, *cut, err, hints(err))
			return
		}
		kept := 0
		for dir, ca := range r.states() {
			if ca == old && nodeapi.IsUnreadable(dir) {
				kept++
			}
		}
		if kept != 1 || r.identity() == old {
			t.Errorf("call %d (%s): on the volume: %v, the old one is %q", n, *cut, r.states(), old)
		}
	})
	return over
}

func TestEnsureLeavesAGatewayOfAnotherMachineAlone(t *testing.T) {
	for endpoint, here := range map[string]bool{
		"https://127.0.0.1:8080": true, "https://[::1]:8080": true, "https://localhost:8080": true, "https://192.168.1.5:8080": true,
		"https://10.9.9.9:8080": false, "https://box.example.com:8080": false, "": false,
	} {
		t.Run(endpoint, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.away = "10.9.9.9"
				if _, err := r.host.WriteMetadata(testName, hostconfig.Metadata{Name: testName, Endpoint: endpoint, Port: 8080, Bind: "127.0.0.1"}); err != nil {
					t.Fatal(err)
				}
				_, err := r.ensure()
				if here && err != nil || !here && (!fault.HasID(err, fault.GatewayRemote) || len(r.engine.Changes()) > 0) {
					t.Errorf("%v, changes %v", err, r.engine.Changes())
				}
			})
		})
	}
}
