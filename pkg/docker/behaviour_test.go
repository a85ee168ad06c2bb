package docker_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/docker"
)

// lab is an engine, real or fake, with an image whose process is the probe.
type lab struct {
	docker.Engine
	image    string // "…:latest", labelled flavour=plain
	prefix   string // of every name a test makes
	subnet   netip.Prefix
	port     int                           // free
	hold     func(t *testing.T, held bool) // makes a process of the host hold port, or release it
	startLog string                        // what the probe logs when it serves
}

func (l lab) name(s string) string { return l.prefix + s }

// create makes a container that runs the probe with args.
func (l lab) create(t *testing.T, name string, args []string, change func(*docker.ContainerSpec)) string {
	t.Helper()
	spec := docker.ContainerSpec{
		Name: l.name(name), Image: l.image, Cmd: args, Network: "none", StopSignal: "SIGTERM",
		Labels: map[string]string{"lab": l.prefix}, StopTimeout: 10 * time.Second,
	}
	if change != nil {
		change(&spec)
	}
	id, err := l.CreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (l lab) start(t *testing.T, name string) {
	t.Helper()
	if err := l.StartContainer(t.Context(), l.name(name)); err != nil {
		t.Fatal(err)
	}
}

func (l lab) state(t *testing.T, name string) docker.ContainerState {
	t.Helper()
	c, err := l.Container(t.Context(), l.name(name))
	if docker.IsNotFound(err) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.State
}

func (l lab) network(t *testing.T, name string, subnet netip.Prefix) {
	t.Helper()
	if err := l.CreateNetwork(t.Context(), l.name(name), subnet, map[string]string{"lab": l.prefix}); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// kinds names the predicates that hold for err.
func kinds(err error) string {
	var out []string
	for name, is := range map[string]func(error) bool{
		"not-found": docker.IsNotFound, "file-not-found": docker.IsFileNotFound, "conflict": docker.IsConflict,
		"port-in-use": docker.IsPortInUse, "network-missing": docker.IsNetworkMissing, "subnet-taken": docker.IsSubnetTaken,
		"no-space": docker.IsNoSpace, "in-use": docker.IsInUse, "not-running": docker.IsNotRunning,
		"unreachable": docker.IsUnreachable,
		"canceled":    func(err error) bool { return errors.Is(err, context.Canceled) },
	} {
		if is(err) {
			out = append(out, name)
		}
	}
	if err == nil {
		return "none"
	}
	if len(out) == 0 {
		return "other"
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func wantKind(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := kinds(err); got != want {
		t.Errorf("%s: error kinds %q, want %q (%v)", what, got, want, err)
	}
}

// serve keeps the probe running.
var serve = []string{"serve"}

// behaviour holds for the real engine and for the fake.
type behaviour func(*testing.T, lab)

func runBehaviours(t *testing.T, newLab func(t *testing.T) lab) {
	for _, table := range []map[string]behaviour{containerBehaviours(), resourceBehaviours(), contentBehaviours(), sharingBehaviours()} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			t.Run(name, func(t *testing.T) { table[name](t, newLab(t)) })
		}
	}
}
