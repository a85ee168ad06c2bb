package bootstrap

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

// edgePlay is an edge whose commands a test plays: what each writes, and how it
// ends.
type edgePlay struct {
	asked []string // commands with what they were told in the environment

	mu    sync.Mutex
	plays map[string]played
}

func (p *edgePlay) set(plays map[string]played) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plays = plays
}

type played struct {
	out, complaint string
	code           int
	then           func()
}

func (p *edgePlay) exec(argv, env []string, out, complaint io.Writer) int {
	command := strings.TrimPrefix(strings.Join(argv, " "), appGateway+" ")
	p.asked = append(p.asked, strings.Join(append(slices.Clone(env), command), " "))
	p.mu.Lock()
	play := p.plays[command]
	p.mu.Unlock()
	io.WriteString(out, play.out)
	io.WriteString(complaint, play.complaint)
	if play.then != nil {
		play.then()
	}
	return play.code
}

const (
	resetCommand  = "/app/main.sh -r bin/reset-gateway.sh"
	reloadCommand = "/app/main.sh -r lib/reload-gateway.sh"
	followQuickly = "reset follow --timeout 20s"
	follow        = "reset follow --timeout 1m0s"
)

// edgeRig is a gateway that runs, with an edge that a test plays.
func edgeRig(t *testing.T, r *rig, plays map[string]played) *edgePlay {
	t.Helper()
	r.mustStart(StartOptions{})
	play := &edgePlay{plays: plays}
	r.onEdge = play.exec
	return play
}

func TestStartRestoresAnEdgeThatFailed(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		play := edgeRig(t, r, map[string]played{
			resetCommand: {out: `{"status":"ok","pid":7}` + "\n"},
			followQuickly: {out: `{"phase":"stop-vpn","result":""}` + "\n" + `{"phase":"done","result":"ok"}` + "\n",
				then: func() { r.edge = &nodeapi.Edge{State: nodeapi.EdgeReady} }},
		})
		r.edge = &nodeapi.Edge{State: nodeapi.EdgeFailed, Message: "nginx is not running"}
		res := r.mustStart(StartOptions{})
		if res.Action != "repair" || !slices.Equal(res.Changed, []string{string(RestoreEdge)}) || len(res.Warnings) > 0 {
			t.Errorf("action %s, changed %q, warnings %q", res.Action, res.Changed, res.Warnings)
		}
		if diff := cmp.Diff([]string{"GATEWAY_KEEP_EPOCH=1 " + resetCommand, followQuickly}, play.asked); diff != "" {
			t.Error(diff)
		}
		var phases []string
		for _, e := range r.events {
			if e.Kind == StepProgress && e.Step == string(RestoreEdge) {
				phases = append(phases, e.Message)
			}
		}
		if diff := cmp.Diff([]string{"stop-vpn", "done"}, phases); diff != "" {
			t.Error(diff)
		}
		if res := r.mustStart(StartOptions{}); res.Action != "none" || len(play.asked) != 2 {
			t.Errorf("the next start: %s, asked %q", res.Action, play.asked)
		}
	})
}

// The gateway's API is of use without it.
func TestEdgeThatCannotBeRestoredIsAWarning(t *testing.T) {
	for name, plays := range map[string]map[string]played{
		"the script refuses": {resetCommand: {out: `{"status":"error","error":"there is no tun device"}`, code: 1}},
		"the reset fails": {resetCommand: {out: `{"status":"ok"}`},
			followQuickly: {out: `{"phase":"done","result":"error"}` + "\n", complaint: "app-gateway: start-vpn: there is no tun device\n", code: 1}},
		"the node knows no edge": {resetCommand: {complaint: "usage: openshell-node COMMAND\n\n  there is no tun device\n", code: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				edgeRig(t, r, plays)
				r.edge = &nodeapi.Edge{State: nodeapi.EdgeFailed, Message: "OpenVPN is not running"}
				res := r.mustStart(StartOptions{})
				want := "there is no tun device"
				if name == "the node knows no edge" {
					want = "has no edge"
				}
				if res.Action != "none" || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], want) {
					t.Errorf("action %s, warnings %q", res.Action, res.Warnings)
				}
			})
		})
	}
}

// What comes up, comes back by itself, or never was there is left alone.
func TestOtherEdgesAreLeftAlone(t *testing.T) {
	for name, edge := range map[string]*nodeapi.Edge{
		"an older image": nil, "starting": {State: nodeapi.EdgeStarting}, "ready": {State: nodeapi.EdgeReady}, "off": {State: nodeapi.EdgeOff},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				play := edgeRig(t, r, nil)
				r.edge = edge
				if res := r.mustStart(StartOptions{}); res.Action != "none" || len(play.asked) > 0 {
					t.Errorf("action %s, asked %q", res.Action, play.asked)
				}
			})
		})
	}
}

func TestStatusTellsOfTheEdge(t *testing.T) {
	for state, ok := range map[nodeapi.EdgeState]bool{
		nodeapi.EdgeReady: true, nodeapi.EdgeStarting: true, nodeapi.EdgeFailed: false, nodeapi.EdgeOff: false,
	} {
		t.Run(string(state), func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(StartOptions{})
				r.edge = &nodeapi.Edge{State: state, Message: "because"}
				s, err := r.m.Status(t.Context(), testName)
				if err != nil {
					t.Fatal(err)
				}
				if !s.Healthy || s.Word != Running {
					t.Errorf("%s, healthy %t: the edge has no part in that", s.Word, s.Healthy)
				}
				if diff := cmp.Diff(r.edge, s.Edge); diff != "" {
					t.Error(diff)
				}
				want := nodeapi.Check{ID: "edge", OK: ok, Message: "because"}
				if !slices.Contains(s.Checks, want) {
					t.Errorf("checks %+v lack %+v", s.Checks, want)
				}
				if advised := slices.Contains(s.Remediation, "openshell gateway start dev"); advised != (state == nodeapi.EdgeFailed) {
					t.Errorf("remediation %q", s.Remediation)
				}
			})
		})
	}
	t.Run("an older image", func(t *testing.T) {
		inTime(t, func(t *testing.T, r *rig) {
			r.mustStart(StartOptions{})
			s, err := r.m.Status(t.Context(), testName)
			if err != nil || s.Edge != nil || slices.ContainsFunc(s.Checks, func(c nodeapi.Check) bool { return c.ID == "edge" }) {
				t.Errorf("edge %+v, checks %+v, %v", s.Edge, s.Checks, err)
			}
		})
	})
}

func TestResetEdge(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		play := edgeRig(t, r, map[string]played{
			resetCommand: {out: `{"status":"ok"}`}, follow: {out: `{"phase":"done","result":"ok"}` + "\n"},
		})
		if err := r.m.ResetEdge(t.Context(), testName, r); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{resetCommand, follow}, play.asked); diff != "" {
			t.Error(diff) // without the order to keep the keys
		}
		play.plays[follow] = played{complaint: "app-gateway: start-vpn: no tun device", code: 1}
		if err := r.m.ResetEdge(t.Context(), testName, r); !fault.HasID(err, fault.EdgeFailed) || !strings.Contains(err.Error(), "no tun device") {
			t.Errorf("got %v", err)
		}
		if last := r.events[len(r.events)-1]; last.Kind != StepFailed || last.Step != string(ResetEdge) {
			t.Errorf("the last event is %+v", last)
		}
	})
}

// A reset that is not seen to end goes on, and another would renew the keys once
// more.
func TestResetThatIsNotSeenToEndIsNotBegunAgain(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		var ready sync.WaitGroup
		play := edgeRig(t, r, map[string]played{
			resetCommand: {out: `{"status":"ok"}`},
			follow: {complaint: "app-gateway: the reset did not end within 1m0s\n", code: 1, then: func() {
				r.mu.Lock()
				r.edge = &nodeapi.Edge{State: nodeapi.EdgeStarting}
				r.mu.Unlock()
				ready.Go(func() {
					time.Sleep(3 * time.Second)
					r.mu.Lock()
					defer r.mu.Unlock()
					r.edge = &nodeapi.Edge{State: nodeapi.EdgeReady}
				})
			}},
		})
		if err := r.m.ResetEdge(t.Context(), testName, r); !fault.HasID(err, fault.EdgeFailed) || !strings.Contains(err.Error(), "did not end") {
			t.Errorf("got %v", err)
		}
		ready.Wait()
		if diff := cmp.Diff([]string{resetCommand, follow}, play.asked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReloadEdge(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		play := edgeRig(t, r, map[string]played{reloadCommand: {out: `{"status":"ok","changed":true,"commit":"abc","sha256":"0123"}`}})
		got, err := r.m.ReloadEdge(t.Context(), testName, ReloadOptions{Server: "10.1.1.1:7180", Key: []byte("a key")}, r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Reloaded{Changed: true, Commit: "abc", SHA256: "0123"}, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"BUILD_SERVER_IP=10.1.1.1 BUILD_SERVER_PORT=7180 GATEWAY_BUILD_KEY=" + candidateKey + " " + reloadCommand}, play.asked); diff != "" {
			t.Error(diff)
		}
		// The script makes it the gateway's key once the build answers.
		files := r.engine.VolumeFiles(resource)
		if _, replaced := files["current/edge/build.pub"]; replaced {
			t.Error("the key that the gateway trusts was replaced before the build answered")
		}
		key := files["current/edge/build.pub.candidate"]
		if string(key.Data) != "a key" || key.Mode != 0o600 {
			t.Errorf("the key is %q, mode %o", key.Data, key.Mode)
		}
		play.plays[reloadCommand] = played{out: `{"status":"error","error":"the signature is not by this gateway's key"}`, code: 1}
		_, err = r.m.ReloadEdge(t.Context(), testName, ReloadOptions{}, r)
		if !fault.HasID(err, fault.ReloadFailed) || !strings.Contains(err.Error(), "signature") {
			t.Errorf("got %v", err)
		}
	})
}

func TestEdgeOfAGatewayThatDoesNotRun(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		if err := r.m.ResetEdge(t.Context(), testName, r); !fault.HasID(err, fault.NotFound) {
			t.Errorf("reset: %v", err)
		}
		r.mustStart(StartOptions{})
		if _, err := r.m.Stop(t.Context(), testName, r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.m.Routes(t.Context(), testName); !fault.HasID(err, fault.NotRunning) {
			t.Errorf("routes: %v", err)
		}
	})
}

func TestRoutesHaveURLs(t *testing.T) {
	route := edgeapi.Route{Host: "web", Kind: edgeapi.KindSandbox, Owner: "box", IP: netip.MustParseAddr("10.2.0.5"), Port: 3000, State: edgeapi.RouteLive}
	for name, test := range map[string]struct {
		flags    StartOptions
		web, url string
	}{
		"published":      {StartOptions{HTTPPort: ptr(7105)}, "http://127.0.0.1:7105/", "http://web.localhost:7105/"},
		"on any address": {StartOptions{HTTPPort: ptr(7105), Bind: ptr("0.0.0.0")}, "http://127.0.0.1:7105/", "http://web.localhost:7105/"},
		"on one address": {StartOptions{HTTPPort: ptr(7105), Bind: ptr("10.9.0.1")}, "http://10.9.0.1:7105/", "http://10.9.0.1:7105/web/"},
		"with tls":       {StartOptions{HTTPPort: ptr(7105), HTTPTLS: ptr(true)}, "https://127.0.0.1:7105/", "https://web.localhost:7105/"},
		"not published":  {StartOptions{HTTPPort: ptr(0)}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(test.flags)
				play := &edgePlay{plays: map[string]played{"control routes": {
					out: `[{"host":"web","kind":"sandbox","owner":"box","ownerId":"","ip":"10.2.0.5","port":3000,"state":"live"}]`,
				}}}
				r.onEdge = play.exec
				got, err := r.m.Routes(t.Context(), testName)
				if err != nil {
					t.Fatal(err)
				}
				want := Routes{Web: test.web, Routes: []Route{{Route: route, URL: test.url}}}
				if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestVPNSaysWhereItIsPublished(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{VPNPort: ptr(49101)})
		play := &edgePlay{plays: map[string]played{"control vpn": {out: `{"state":"up","port":49100,"clients":[]}`}}}
		r.onEdge = play.exec
		got, err := r.m.VPN(t.Context(), testName)
		if err != nil {
			t.Fatal(err)
		}
		if got.State != edgeapi.VPNUp || got.Published != "127.0.0.1:49101" {
			t.Errorf("got %+v", got)
		}
		play.plays["control vpn"] = played{complaint: "app-gateway: control.sock: connection refused", code: 1}
		if _, err := r.m.VPN(t.Context(), testName); !fault.HasID(err, fault.EdgeFailed) {
			t.Errorf("got %v", err)
		}
	})
}

// Right after a start the edge may not be there yet.
func TestEdgeThatComesUpIsWaitedFor(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		notYet := map[string]played{
			"control routes": {complaint: "app-gateway: no such file or directory", code: 1},
			resetCommand:     {out: `{"status":"error","error":"a reset is already running"}`, code: 1},
		}
		play := edgeRig(t, r, notYet)
		soon := func() {
			r.mu.Lock()
			r.edge = &nodeapi.Edge{State: nodeapi.EdgeStarting}
			r.mu.Unlock()
			go func() {
				time.Sleep(3 * time.Second)
				play.set(map[string]played{"control routes": {out: "[]"}, resetCommand: {out: `{"status":"ok"}`}, follow: {}})
				r.mu.Lock()
				defer r.mu.Unlock()
				r.edge = &nodeapi.Edge{State: nodeapi.EdgeReady}
			}()
		}
		soon()
		if _, err := r.m.Routes(t.Context(), testName); err != nil {
			t.Errorf("routes: %v", err)
		}
		play.set(notYet)
		soon()
		if err := r.m.ResetEdge(t.Context(), testName, r); err != nil {
			t.Errorf("reset: %v", err)
		}
		play.set(notYet)
		r.edge = &nodeapi.Edge{State: nodeapi.EdgeStarting} // for ever
		began := time.Now()
		if _, err := r.m.Routes(t.Context(), testName); !fault.HasID(err, fault.EdgeFailed) || time.Since(began) > settleTime {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestLinesAreWhole(t *testing.T) {
	var got []string
	w := &lineWriter{tell: func(line []byte) { got = append(got, string(line)) }}
	for _, part := range []string{"a", "b\nc", "\n\n", strings.Repeat("x", maxLine+1), "\n", "d\n"} {
		fmt.Fprint(w, part)
	}
	if diff := cmp.Diff([]string{"ab", "c", "", "", "d"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestVPNClientGetsAPackage(t *testing.T) {
	list := "vpn client list"
	for name, test := range map[string]struct {
		flags  StartOptions
		opts   ClientOptions
		asked  string
		remote string
		inside bool
	}{
		"published":        {StartOptions{VPNPort: ptr(49101)}, ClientOptions{Client: "laptop"}, "add laptop --port 49101 --remote 127.0.0.1", "127.0.0.1:49101", false},
		"not published":    {StartOptions{}, ClientOptions{Client: "laptop"}, "add laptop --port 49100 --remote openshell-cluster-dev", "openshell-cluster-dev:49100", true},
		"from elsewhere":   {StartOptions{VPNPort: ptr(49101)}, ClientOptions{Client: "laptop", Remotes: []string{"gw.lan", "10.1.1.1"}}, "add laptop --port 49101 --remote gw.lan --remote 10.1.1.1", "gw.lan:49101", false},
		"behind a gateway": {StartOptions{}, ClientOptions{Client: "laptop", Remotes: []string{"gw.lan"}, Port: 1194}, "add laptop --port 1194 --remote gw.lan", "gw.lan:1194", false},
		"another package":  {StartOptions{}, ClientOptions{Client: "old", Renew: true}, "config old --port 49100 --remote openshell-cluster-dev", "openshell-cluster-dev:49100", true},
		"renew a new one":  {StartOptions{}, ClientOptions{Client: "laptop", Renew: true}, "add laptop --port 49100 --remote openshell-cluster-dev", "openshell-cluster-dev:49100", true},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				r.mustStart(test.flags)
				play := &edgePlay{plays: map[string]played{list: {out: `[{"name":"old"}]`}, "vpn client " + test.asked: {out: `{"token":"secret"}`}}}
				r.onEdge = play.exec
				got, err := r.m.VPNClient(t.Context(), testName, test.opts)
				if err != nil {
					t.Fatalf("%v; asked %q", err, play.asked)
				}
				if string(got.JSON) != `{"token":"secret"}` || got.Remote != test.remote || got.Inside != test.inside {
					t.Errorf("got %s at %s, inside %t", got.JSON, got.Remote, got.Inside)
				}
			})
		})
	}
}

func TestVPNClientIsRefused(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		play := edgeRig(t, r, map[string]played{
			"vpn client list": {out: `[{"name":"old"}]`},
			"vpn client add laptop --port 49100 --remote openshell-cluster-dev": {complaint: "app-gateway: there are 1000 containers already", code: 1},
			"vpn client add torn --port 49100 --remote openshell-cluster-dev":   {out: `{"token":"sec`},
		})
		for client, want := range map[string]fault.ID{"old": fault.ClientExists, "laptop": fault.EdgeFailed, "torn": fault.EdgeFailed, "../x": fault.BadName} {
			_, err := r.m.VPNClient(t.Context(), testName, ClientOptions{Client: client})
			if !fault.HasID(err, want) || strings.Contains(fmt.Sprint(err), "sec") {
				t.Errorf("%s: %v, want %s; asked %q", client, err, want, play.asked)
			}
		}
	})
}
