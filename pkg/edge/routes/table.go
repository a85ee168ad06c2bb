package routes

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// A sandbox without an address is at one in the VPN that no client is ever given,
// so that the visitor is told that it is down. Its last address would not do: it
// may be another sandbox's by now.
const parkedAddress = "172.16.0.2"

// Container is a user container that may have services.
type Container struct {
	ID, Name string
	Address  netip.Addr // in the VPN
	Services []edgeapi.VPNService
}

// Config is what a table works with.
type Config struct {
	Names    *Names
	Watchdog time.Duration                 // how long a container counts as alive
	LiveFile string                        // remembers live services over a restart of app-gateway
	Epoch    int64                         // in which they are remembered
	Limit    int                           // of services in a set
	Check    func(edge.Service) error      // what nginx would refuse
	Apply    func(services []edge.Service) // takes each new full set
	Log      *slog.Logger
}

// Table merges what is known of services into the full set.
type Table struct {
	config Config

	mu              sync.Mutex
	sandboxes       []edge.SandboxRoute
	sandboxesKnown  bool
	containers      map[string]Container
	containersKnown bool
	order           []string          // of containers, as they came
	pulses          map[string]*pulse // by container
	expiry          *time.Timer
	routes          []edgeapi.Route
	stopped         bool
	problems        map[string]string // by what they are about
}

// NewTable makes a table with the services that were live before a restart.
func NewTable(config Config) *Table {
	t := &Table{config: config, containers: map[string]Container{}, pulses: map[string]*pulse{}, routes: []edgeapi.Route{}, problems: map[string]string{}}
	t.restore()
	return t
}

// SetSandboxes takes the full set of exposed ports.
func (t *Table) SetSandboxes(set []edge.SandboxRoute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sandboxes, t.sandboxesKnown = set, true
	t.update()
}

// SetContainers takes all user containers there are. Those that are gone lose
// their services and names.
func (t *Table) SetContainers(all []Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.containersKnown = true
	t.containers = make(map[string]Container, len(all))
	t.order = t.order[:0]
	for _, c := range all {
		if _, twice := t.containers[c.ID]; !twice {
			t.order = append(t.order, c.ID)
		}
		t.containers[c.ID] = c
	}
	for id := range t.pulses {
		if _, ok := t.containers[id]; !ok {
			delete(t.pulses, id)
		}
	}
	t.update()
}

// Report remembers a problem for people, or its end.
func (t *Table) Report(about string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report(about, err)
}

func (t *Table) report(about string, err error) {
	before, had := t.problems[about]
	switch {
	case err == nil && had:
		delete(t.problems, about)
		t.config.Log.Info("solved", "about", about)
	case err != nil && err.Error() != before:
		t.problems[about] = err.Error()
		t.config.Log.Warn("problem", "about", about, "error", err)
	}
}

// Problems are what a person should look at.
func (t *Table) Problems() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for _, problem := range t.problems {
		all = append(all, problem)
	}
	slices.Sort(all)
	return all
}

// Routes are all names that are used or wanted, sorted.
func (t *Table) Routes() []edgeapi.Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.routes)
}

// Start applies the full set as it is known, also an empty one: nginx may still
// have that of the process before this one.
func (t *Table) Start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.update()
}

// update needs the lock. It gives names, and applies the full set.
func (t *Table) update() {
	names := t.config.Names
	names.free(t.kept())
	routes := []edgeapi.Route{}
	services := []edge.Service{}
	add := func(route edgeapi.Route, service *edge.Service) {
		owner := Owner{route.Kind, route.OwnerID}
		switch {
		case !names.claim(route.Host, owner):
			route.State, route.Message = edgeapi.RouteConflict, fmt.Sprintf("name %q belongs to %s", route.Host, t.describe(names.holder(route.Host)))
		case service == nil:
		case len(services) >= t.config.Limit:
			route.State, route.Message = edgeapi.RouteDown, fmt.Sprintf("the gateway leads to %d services already", t.config.Limit)
		default:
			if err := t.config.Check(*service); err != nil {
				route.State, route.Message = edgeapi.RouteDown, err.Error()
				break
			}
			services = append(services, *service)
		}
		routes = append(routes, route)
	}
	for _, s := range t.sandboxes {
		t.addSandbox(s, add)
	}
	for _, id := range t.order {
		t.addContainer(t.containers[id], add)
	}
	slices.SortStableFunc(routes, func(a, b edgeapi.Route) int { return cmp.Compare(a.Host, b.Host) })
	slices.SortFunc(services, func(a, b edge.Service) int { return cmp.Compare(a.Host, b.Host) })
	t.logChanges(routes)
	t.routes = routes
	t.report("names", names.save())
	t.config.Apply(services)
}

func (t *Table) addSandbox(s edge.SandboxRoute, add func(edgeapi.Route, *edge.Service)) {
	route := edgeapi.Route{Host: s.Host, Kind: edgeapi.KindSandbox, Owner: s.Sandbox, OwnerID: s.ID, IP: s.IP, Port: s.Port, State: edgeapi.RouteLive}
	service := edge.Service{Host: s.Host, IP: s.IP, Port: s.Port}
	if !s.IP.IsValid() {
		route.State, route.Message = edgeapi.RouteDown, "the sandbox does not run"
		service.IP = netip.MustParseAddr(parkedAddress)
	}
	add(route, &service)
}

func (t *Table) addContainer(c Container, add func(edgeapi.Route, *edge.Service)) {
	pulse := t.pulses[c.ID]
	for _, s := range servicesOf(c, pulse) {
		route := edgeapi.Route{Host: s.Host, Kind: edgeapi.KindContainer, Owner: c.Name, OwnerID: c.ID, IP: c.Address, Port: s.Port, State: edgeapi.RouteLive}
		if pulse == nil || !pulse.alive {
			route.State, route.Message = edgeapi.RouteDown, fmt.Sprintf("the container has not reported for %s", t.config.Watchdog)
			add(route, nil)
			continue
		}
		add(route, &edge.Service{Host: s.Host, IP: c.Address, Port: s.Port})
	}
}

// kept answers which names stay its owner's. A sandbox's is free when it is
// no longer in the file, a container's when the container is removed; what is
// not known frees nothing.
func (t *Table) kept() func(host, owner string) bool {
	type claim struct{ host, owner string }
	claimed := make(map[claim]bool, len(t.sandboxes))
	for _, s := range t.sandboxes {
		claimed[claim{s.Host, sandboxOwner(s.ID).String()}] = true
	}
	return func(host, owner string) bool {
		kind, id := splitOwner(owner)
		if kind == edgeapi.KindSandbox {
			return !t.sandboxesKnown || claimed[claim{host, owner}]
		}
		_, there := t.containers[id]
		return kind == edgeapi.KindContainer && (there || !t.containersKnown)
	}
}

// describe names an owner for people.
func (t *Table) describe(owner string) string {
	kind, id := splitOwner(owner)
	name := id
	if c, ok := t.containers[id]; ok && kind == edgeapi.KindContainer {
		name = c.Name
	}
	for _, s := range t.sandboxes {
		if s.ID == id && kind == edgeapi.KindSandbox {
			name = s.Sandbox
		}
	}
	return fmt.Sprintf("%s %q", kind, name)
}

// logChanges tells what begins, ends and collides.
func (t *Table) logChanges(routes []edgeapi.Route) {
	type key struct{ host, kind, id string }
	before := map[key]edgeapi.Route{}
	for _, r := range t.routes {
		before[key{r.Host, r.Kind, r.OwnerID}] = r
	}
	for _, r := range routes {
		k := key{r.Host, r.Kind, r.OwnerID}
		if old, ok := before[k]; !ok || old != r {
			t.config.Log.Info("route", "host", r.Host, "owner", r.Kind+"/"+r.Owner, "ip", r.IP, "port", r.Port, "state", r.State, "message", r.Message)
		}
		delete(before, k)
	}
	for _, r := range before {
		t.config.Log.Info("route ended", "host", r.Host, "owner", r.Kind+"/"+r.Owner)
	}
}
