package bootstrap

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

// checked are the checks of the rig's gateway by id.
func (r *rig) checked() map[string]nodeapi.Check {
	r.t.Helper()
	checks, err := r.m.Check(r.t.Context(), testName)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]nodeapi.Check{}
	for _, c := range checks {
		if _, twice := out[c.ID]; twice {
			r.t.Errorf("%s is checked twice", c.ID)
		}
		out[c.ID] = c
	}
	return out
}

func TestCheckCoversEngineAndGateway(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		before := r.checked()
		if _, ok := before[checkGateway]; ok || !before["engine-os"].OK || !before[checkStart].OK {
			t.Errorf("without a gateway: %v", before)
		}
		r.mustStart(StartOptions{})
		after := r.checked()
		if _, ok := after[checkStart]; ok || !after[checkGateway].OK || !after["endpoint"].OK || !after["api"].OK || !after[checkRanges].OK {
			t.Errorf("with one: %v", after)
		}
		r.stop()
		if after := r.checked(); after[checkGateway].OK || !after[checkStart].OK {
			t.Errorf("with one that is stopped: %v", after)
		}
	})
}

func TestCheckNamesWhatAStartIsRefusedFor(t *testing.T) {
	port := func(r *rig) { r.held[8080] = "process python3 (4711)" }
	for name, c := range map[string]struct {
		prepare []func(*rig)
		says    []string
	}{
		"port of a new one held":     {[]func(*rig){port}, []string{"8080", "process python3 (4711)", "--port"}},
		"port of a stopped one held": {[]func(*rig){func(r *rig) { r.mustStart(StartOptions{}); r.stop() }, port}, []string{"8080", "process python3 (4711)", "--port"}},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				for _, prepare := range c.prepare {
					prepare(r)
				}
				got := r.checked()[checkStart]
				for _, word := range c.says {
					if got.OK || !strings.Contains(got.Message, word) {
						t.Errorf("%+v does not say %q", got, word)
					}
				}
			})
		})
	}
}

func TestPitfall02CheckNamesAVPNOverTheGatewaysAddresses(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		res := r.mustStart(StartOptions{})
		have, err := r.m.Status(t.Context(), res.Name)
		if err != nil {
			t.Fatal(err)
		}
		for prefix, advice := range map[netip.Prefix]string{
			have.Settings.Network.Subnet:      "gateway stop",
			have.Settings.Network.PodCIDR:     "sandboxes do not reach",
			have.Settings.Network.ServiceCIDR: "sandboxes do not reach",
		} {
			r.routes = []HostRange{{prefix, "wg0"}}
			if got := r.checked()[checkRanges]; got.OK || !strings.Contains(got.Message, "wg0") || !strings.Contains(got.Message, advice) {
				t.Errorf("with a route to %s: %+v", prefix, got)
			}
		}
		r.routes = []HostRange{{netip.MustParsePrefix("0.0.0.0/0"), "wg0"}, {netip.MustParsePrefix("192.168.1.0/24"), "eth0"}}
		if got := r.checked()[checkRanges]; !got.OK {
			t.Errorf("with routes that meet nothing: %+v", got)
		}
	})
}

// A helper that reads the volume of a stopped gateway comes and goes.
func TestCheckChangesNothing(t *testing.T) {
	for name, prepare := range map[string]func(*rig){
		"absent":  func(*rig) {},
		"running": func(r *rig) { r.mustStart(StartOptions{}) },
		"stopped": func(r *rig) { r.mustStart(StartOptions{}); r.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				prepare(r)
				scene := func() string {
					c, _ := r.container()
					return fmt.Sprint(r.leftovers(), c, r.engine.VolumeFiles(resource))
				}
				before := scene()
				r.checked()
				if diff := cmp.Diff(before, scene()); diff != "" {
					t.Errorf("(-before +after)\n%s", diff)
				}
			})
		})
	}
}

// What somebody else works on is left to them.
func TestCheckDoesNotWaitForALock(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		unlock, err := r.host.Lock(t.Context(), testName, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		if c, ok := r.checked()[checkStart]; ok {
			t.Errorf("it was judged all the same: %+v", c)
		}
	})
}

func TestPitfall10CheckWithoutAnEngineIsUnreachable(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		for _, op := range []string{"Info", "Container", "Volume", "Network"} {
			r.engine.Fail(op, 0, docker.NewError(docker.Unreachable, op, "", "injected"))
		}
		if _, err := r.m.Check(t.Context(), testName); fault.ExitOf(err) != fault.ExitUnreachable {
			t.Errorf("%v", err)
		}
	})
}
