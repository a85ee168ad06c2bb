package usercontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	on     = gateway.Name("dev")
	secret = "a-token-that-nobody-may-see"
)

// rig is an engine in memory with a gateway, and a user's image. What
// app-gateway does is played by exec.
type rig struct {
	t      *testing.T
	engine *dockertest.Fake
	m      *Manager
	steps  []string
	warned []string

	mu      sync.Mutex
	epoch   int // of the VPN; packages of an earlier one do not let in
	serial  int
	clients []edgeapi.VPNClient
	foreign []edgeapi.Route // of others
	deaf    bool            // the edge does not answer
	starts  bool            // the node says that the edge comes up
	old     bool            // its app-gateway knows no kinds
	refuses string          // what a registration is answered
	crash   bool            // the user's process ends whenever it is started
}

// packed is a package as the rig's app-gateway makes them.
type packed struct {
	ID, Token, Remote, Port string
	Epoch                   int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, engine: dockertest.New(), epoch: 1}
	r.engine.AddImage(nil, "node:v1")
	r.engine.AddImage(map[string]string{"openshell.ai/gateway": "theirs"}, "registry.example/team/web:v2")
	r.engine.OnExec(r.exec)
	r.engine.OnStart(r.started)
	r.m = &Manager{Engine: r.engine, Host: r, Version: "v1"}
	ctx := t.Context()
	must(t, r.engine.CreateNetwork(ctx, on.Resource(), netip.MustParsePrefix("10.9.0.0/24"), on.Labels("v1")),
		r.engine.CreateVolume(ctx, on.Resource(), on.Labels("v1")))
	_, err := r.engine.CreateContainer(ctx, docker.ContainerSpec{
		Name: on.Resource(), Image: "node:v1", Labels: on.Labels("v1"), Network: on.Resource(), RestartPolicy: "unless-stopped",
		Ports: []docker.Port{{Host: 7101, Bind: "127.0.0.1", Container: 7100, Proto: "tcp"}},
	})
	must(t, err, r.engine.StartContainer(ctx, on.Resource()))
	r.settings(false)
	r.engine.ResetCalls()
	return r
}

// settings are those that the gateway booted with.
func (r *rig) settings(tls bool) {
	r.t.Helper()
	s := gateway.Settings{Name: on, Port: 8080, Bind: "127.0.0.1", HTTPPort: 7101, HTTPTLS: tls, Network: gateway.Network{
		Subnet: netip.MustParsePrefix("10.9.0.0/24"), PodCIDR: netip.MustParsePrefix("10.9.16.0/20"), ServiceCIDR: netip.MustParsePrefix("10.9.32.0/20"),
	}}
	must(r.t, r.engine.WriteFile(r.t.Context(), on.Resource(), nodeapi.SettingsFile, nodeapi.SettingsMode, s.Encode()))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// LockContainers implements Host.
func (r *rig) LockContainers(context.Context, gateway.Name, func(string)) (func(), error) {
	return func() {}, nil
}

// Step, Note and Warn implement Progress.
func (r *rig) Step(name, _ string) func(bool) {
	r.steps = append(r.steps, name)
	return func(bool) {}
}
func (r *rig) Note(string)         {}
func (r *rig) Warn(message string) { r.warned = append(r.warned, message) }

// exec plays app-gateway in the gateway's container.
func (r *rig) exec(_ *dockertest.Fake, c docker.Container, spec docker.ExecSpec) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fail := func(format string, args ...any) (int, error) {
		fmt.Fprintf(spec.Stderr, "app-gateway: "+format+"\n", args...)
		return 1, nil
	}
	if c.Name == on.Resource() && r.starts && slices.Equal(spec.Argv, []string{nodeapi.Binary, nodeapi.CmdStatus}) {
		return 0, json.NewEncoder(spec.Stdout).Encode(nodeapi.Status{Edge: &nodeapi.Edge{State: nodeapi.EdgeStarting}})
	}
	if c.Name != on.Resource() || len(spec.Argv) < 5 || spec.Argv[0] != nodeapi.Binary || spec.Argv[1] != "edge" || spec.Argv[2] != appGateway {
		return fail("not here: %q", spec.Argv)
	}
	switch args := spec.Argv[3:]; strings.Join(args[:2], " ") {
	case "control vpn", "control routes":
		if r.deaf {
			return fail("dial unix /run/openshell-edge/control.sock: connection refused")
		}
		doc := any(edgeapi.VPN{State: edgeapi.VPNUp, Clients: r.clients})
		if args[1] == "routes" {
			doc = r.routes()
		}
		return 0, json.NewEncoder(spec.Stdout).Encode(doc)
	case "vpn client":
		i := slices.IndexFunc(r.clients, func(c edgeapi.VPNClient) bool { return c.ID == args[3] })
		if args[2] != "add" && i < 0 {
			return fail("no such container")
		}
		if args[2] == "rm" {
			r.clients = slices.Delete(r.clients, i, i+1)
			return 0, nil
		}
		if args[2] == "config" {
			r.clients[i].Connected = false
			return 0, json.NewEncoder(spec.Stdout).Encode(packed{ID: args[3], Token: secret, Remote: args[5], Port: args[7], Epoch: r.epoch})
		}
		if r.refuses != "" {
			return fail("%s", r.refuses)
		}
		return r.add(args[3], args[4:], spec)
	}
	return fail("what is %q", spec.Argv)
}

func (r *rig) add(name string, flags []string, spec docker.ExecSpec) (int, error) {
	if slices.ContainsFunc(r.clients, func(c edgeapi.VPNClient) bool { return c.Name == name }) {
		fmt.Fprintln(spec.Stderr, "app-gateway: a container of that name exists")
		return 1, nil
	}
	r.serial++
	client := edgeapi.VPNClient{ID: fmt.Sprintf("%016x", r.serial), Name: name, Address: netip.AddrFrom4([4]byte{172, 16, 1, byte(r.serial)})}
	pkg := packed{ID: client.ID, Token: secret, Epoch: r.epoch}
	for len(flags) > 0 {
		switch flags[0] {
		case "--kind":
			if r.old {
				fmt.Fprintln(spec.Stderr, "app-gateway: unknown flag: --kind")
				return 1, nil
			}
			client.Kind = flags[1]
		case "--service":
			host, port, _ := strings.Cut(flags[1], ":")
			number, _ := strconv.Atoi(port)
			client.Services = append(client.Services, edgeapi.VPNService{Host: host, Port: uint16(number)})
		case "--remote":
			pkg.Remote = flags[1]
		case "--port":
			pkg.Port = flags[1]
		}
		flags = flags[2:]
	}
	r.clients = append(r.clients, client)
	return 0, json.NewEncoder(spec.Stdout).Encode(pkg)
}

func (r *rig) routes() []edgeapi.Route {
	out := slices.Clone(r.foreign)
	for _, c := range r.clients {
		for _, s := range c.Services {
			state := edgeapi.RouteDown
			if c.Connected {
				state = edgeapi.RouteLive
			}
			out = append(out, edgeapi.Route{Host: s.Host, Kind: edgeapi.KindContainer, Owner: c.Name, OwnerID: c.ID, IP: c.Address, Port: s.Port, State: state})
		}
	}
	return out
}

// started plays the processes: a sidecar joins with its package, a user's
// process runs on, or ends.
func (r *rig) started(f *dockertest.Fake, c docker.Container) {
	if on.IsSidecar(c.Name) {
		file, _ := f.File(c.ID, packageFile)
		var pkg packed
		_ = json.Unmarshal(file.Data, &pkg)
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range r.clients {
			if r.clients[i].ID == pkg.ID && pkg.Epoch == r.epoch && pkg.Remote == on.Resource() && pkg.Port == "49100" {
				r.clients[i].Connected = true
			}
		}
	} else if c.Name != on.Resource() && r.crash {
		f.Log(c.ID, "panic: no database")
		f.SetState(c.ID, docker.StateRestarting)
		f.Edit(c.ID, func(c *docker.Container) { c.ExitCode = 3 })
	}
}

// disconnected forgets who is in the VPN.
func (r *rig) disconnected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.clients {
		r.clients[i].Connected = false
	}
}

func options() Options {
	return Options{Gateway: on, Name: "web", Image: "registry.example/team/web:v2", Services: []Served{{"web", 8080}, {"api", 9000}},
		Env: []string{"MODE=test"}, Argv: []string{"serve"}}
}

func (r *rig) run(opts Options) error {
	r.steps = nil
	_, err := r.m.Run(r.t.Context(), opts, r)
	return err
}

func (r *rig) mustRun() {
	r.t.Helper()
	must(r.t, r.run(options()))
}

// get is the container web, which has to be there.
func (r *rig) get() Container {
	r.t.Helper()
	c, err := r.m.Get(r.t.Context(), on, "web")
	must(r.t, err)
	return c
}

// left is all that there is of user containers.
func (r *rig) left() []string {
	r.t.Helper()
	all, err := r.engine.Containers(context.Background(), nil)
	must(r.t, err)
	var out []string
	for _, c := range all {
		if c.Name != on.Resource() {
			out = append(out, c.Name)
		}
	}
	for _, c := range r.clients {
		out = append(out, "client "+c.Name)
	}
	return out
}

func wantFault(t *testing.T, err error, id fault.ID, exit fault.Exit) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.ID != id || e.Exit != exit {
		t.Fatalf("got %v (exit %d), want %s with exit %d", err, fault.ExitOf(err), id, exit)
	}
	return e
}
