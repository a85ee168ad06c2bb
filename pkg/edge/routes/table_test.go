package routes

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// setup is a table over files, whose last full set can be looked at.
type setup struct {
	*Table
	mu   sync.Mutex
	last []string
}

// applied is the last full set.
func (s *setup) applied() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func newSetup(t *testing.T, dir string, epoch int64) *setup {
	t.Helper()
	names, err := OpenNames(filepath.Join(dir, "names.json"))
	if err != nil {
		t.Log(err)
	}
	s := &setup{}
	s.Table = NewTable(Config{
		Names: names, Watchdog: 30 * time.Second, LiveFile: filepath.Join(dir, "live.json"), Epoch: epoch, Limit: 1000,
		Check: func(s edge.Service) error {
			if s.IP.Is6() {
				return errors.New("address is not in the gateway's networks")
			}
			return nil
		},
		Apply: func(services []edge.Service) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.last = []string{}
			for _, service := range services {
				s.last = append(s.last, fmt.Sprintf("%s %s:%d", service.Host, service.IP, service.Port))
			}
		},
		Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(s.Stop)
	return s
}

func (s *setup) mustBeat(t *testing.T, c Container) {
	t.Helper()
	if _, err := s.Beat(c); err != nil {
		t.Fatal(err)
	}
}

// states are the routes in short.
func (s *setup) states() []string {
	all := []string{}
	for _, r := range s.Routes() {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s/%s %s %s", r.Host, r.Kind, r.OwnerID, r.State, r.Message)))
	}
	return all
}

func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, wanted...), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func sandbox(host, id, ip string) edge.SandboxRoute {
	route := edge.SandboxRoute{Host: host, Sandbox: "box-" + id, ID: id, Port: 8080}
	if ip != "" {
		route.IP = netip.MustParseAddr(ip)
	}
	return route
}

func container(id, ip string, services ...edgeapi.VPNService) Container {
	return Container{ID: id, Name: "name-" + id, Address: netip.MustParseAddr(ip), Services: services}
}

func TestTableMergesSandboxesAndContainers(t *testing.T) {
	s := newSetup(t, t.TempDir(), 1)
	s.Start()
	want(t, "empty set", s.applied())
	s.SetSandboxes([]edge.SandboxRoute{sandbox("web", "s1", "10.42.0.7"), sandbox("asleep", "s2", ""), sandbox("odd", "s3", "fd00::1")})
	if _, err := s.Map(container("c1", "172.16.1.0"), "jupyter", 8888); err != nil {
		t.Fatal(err)
	}
	want(t, "set", s.applied(), "asleep 172.16.0.2:8080", "jupyter 172.16.1.0:8888", "web 10.42.0.7:8080")
	want(t, "routes", s.states(),
		"asleep sandbox/s2 down the sandbox does not run",
		"jupyter container/c1 live",
		"odd sandbox/s3 down address is not in the gateway's networks",
		"web sandbox/s1 live")
}

func TestNamesStayWithTheirOwner(t *testing.T) {
	dir := t.TempDir()
	s := newSetup(t, dir, 1)
	s.SetSandboxes([]edge.SandboxRoute{sandbox("web", "s1", "10.42.0.7")})
	// The container comes second, whatever it does.
	c := container("c1", "172.16.1.0", edgeapi.VPNService{Host: "web", Port: 80}, edgeapi.VPNService{Host: "own", Port: 81})
	s.SetContainers([]Container{c})
	routes, err := s.Beat(c)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "set", s.applied(), "own 172.16.1.0:81", "web 10.42.0.7:8080")
	want(t, "routes", s.states(), "own container/c1 live", "web sandbox/s1 live", `web container/c1 conflict name "web" belongs to sandbox "box-s1"`)
	if len(routes) != 2 || routes[1].State != edgeapi.RouteConflict {
		t.Errorf("the container is told %+v, want of its conflict", routes)
	}
	// After a restart the first is still the first, whoever is seen first.
	s = newSetup(t, dir, 1)
	s.SetContainers([]Container{c})
	s.mustBeat(t, c)
	want(t, "set before sandboxes are known", s.applied(), "own 172.16.1.0:81")
	s.SetSandboxes([]edge.SandboxRoute{sandbox("web", "s1", "10.42.0.7")})
	want(t, "set after a restart", s.applied(), "own 172.16.1.0:81", "web 10.42.0.7:8080")
	// The name is free when its owner gives it up, and the next one's then.
	s.SetSandboxes(nil)
	want(t, "set without the sandbox", s.applied(), "own 172.16.1.0:81", "web 172.16.1.0:80")
	s.SetSandboxes([]edge.SandboxRoute{sandbox("web", "s1", "10.42.0.7")})
	want(t, "set with the sandbox again", s.applied(), "own 172.16.1.0:81", "web 172.16.1.0:80")
	// A container that does not report keeps its names; one that is removed does not.
	s.SetContainers([]Container{})
	want(t, "set without the container", s.applied(), "web 10.42.0.7:8080")
	want(t, "routes", s.states(), "web sandbox/s1 live")
}

// A report that was on its way when its container was removed does not bring it back.
func TestARemovedContainerStaysRemoved(t *testing.T) {
	s := newSetup(t, t.TempDir(), 1)
	c := container("c1", "172.16.1.0", edgeapi.VPNService{Host: "web", Port: 80})
	s.mustBeat(t, c) // the registry is not known yet
	s.SetContainers([]Container{c})
	s.mustBeat(t, c)
	s.SetContainers(nil)
	if _, err := s.Beat(c); !errors.Is(err, ErrRemoved) {
		t.Errorf("beat: %v", err)
	}
	if _, err := s.Map(c, "more", 81); !errors.Is(err, ErrRemoved) {
		t.Errorf("map: %v", err)
	}
	want(t, "set", s.applied())
	want(t, "routes", s.states())
}

func TestContainersEndWithTheirWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, t.TempDir(), 1)
		a, b := container("a", "172.16.1.0"), container("b", "172.16.1.1")
		for c, host := range map[*Container]string{&a: "jupyter", &b: "pgadmin"} {
			if _, err := s.Map(*c, host, 80); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			time.Sleep(20 * time.Second)
			s.mustBeat(t, a)
		}
		synctest.Wait()
		want(t, "set", s.applied(), "jupyter 172.16.1.0:80")
		time.Sleep(29 * time.Second)
		synctest.Wait()
		want(t, "set after 29 s", s.applied(), "jupyter 172.16.1.0:80")
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, "set after 30 s", s.applied())
		want(t, "routes after 30 s", s.states(), "jupyter container/a down the container has not reported for 30s",
			"pgadmin container/b down the container has not reported for 30s")
		// It comes back with what it had mapped.
		s.mustBeat(t, a)
		want(t, "set after a late beat", s.applied(), "jupyter 172.16.1.0:80")
	})
}

func TestServicesSurviveARestartButNotAnEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := container("a", "172.16.1.0", edgeapi.VPNService{Host: "declared", Port: 1})
		s := newSetup(t, dir, 7)
		if _, err := s.Map(c, "jupyter", 80); err != nil {
			t.Fatal(err)
		}
		s.Stop()

		next := newSetup(t, dir, 7)
		next.SetContainers([]Container{c})
		want(t, "set after a restart", next.applied(), "declared 172.16.1.0:1", "jupyter 172.16.1.0:80")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		want(t, "set when it did not report again", next.applied())
		want(t, "routes", next.states(), "declared container/a down the container has not reported for 30s",
			"jupyter container/a down the container has not reported for 30s")

		other := newSetup(t, dir, 8)
		other.SetContainers([]Container{c})
		want(t, "set of another epoch", other.applied())
	})
}

func TestMapRefuses(t *testing.T) {
	s := newSetup(t, t.TempDir(), 1)
	c := container("a", "172.16.1.0")
	for name, service := range map[string]edgeapi.VPNService{
		"reserved": {Host: "collab", Port: 80}, "path": {Host: "../x", Port: 80}, "line": {Host: "x\ny 1.2.3.4 1", Port: 80}, "no port": {Host: "x"},
	} {
		if _, err := s.Map(c, service.Host, service.Port); err == nil {
			t.Errorf("%s was mapped", name)
		}
	}
	for n := range maxServices {
		if _, err := s.Map(c, fmt.Sprintf("h%d", n), 80); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Map(c, "one-more", 80); err == nil {
		t.Error("a container maps services without end")
	}
	if _, err := s.Map(c, "h0", 81); err != nil {
		t.Errorf("a service cannot move: %v", err)
	}
}

func TestDamagedNamesAreSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "names.json")
	if err := os.WriteFile(path, []byte(`{"web": "sandbo`), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := OpenNames(path)
	if err == nil || names == nil {
		t.Fatalf("OpenNames: %v, %v, want an empty registry and an error", names, err)
	}
	aside, err := filepath.Glob(path + ".damaged-*")
	if err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	s := newSetup(t, dir, 1)
	s.SetSandboxes([]edge.SandboxRoute{sandbox("web", "s1", "10.42.0.7")})
	data, err := os.ReadFile(path)
	if want := "{\n  \"web\": \"sandbox/s1\"\n}\n"; err != nil || string(data) != want {
		t.Errorf("names are %q, %v, want %q", data, err, want)
	}
}

func TestThousandRoutesAreQuick(t *testing.T) {
	s := newSetup(t, t.TempDir(), 1)
	set := make([]edge.SandboxRoute, 1001)
	for n := range set {
		set[n] = sandbox(fmt.Sprintf("web-%d", n), fmt.Sprintf("s%d", n), "10.42.0.7")
	}
	s.SetSandboxes(set)
	best := time.Hour // what the machine does beside is not the table's
	for range 10 {
		began := time.Now()
		s.SetSandboxes(set)
		best = min(best, time.Since(began))
	}
	if best > 50*time.Millisecond {
		t.Errorf("an update takes %s", best)
	}
	if len(s.applied()) != 1000 {
		t.Errorf("%d services, want as many as the limit", len(s.applied()))
	}
}
