package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// table answers the routes as "host sandbox:port".
func table(t *testing.T, c openshellv1.OpenShellClient, sandbox string) []string {
	t.Helper()
	got, err := c.ListRoutes(t.Context(), &openshellv1.ListRoutesRequest{Sandbox: sandbox})
	must(t, err)
	var out []string
	for _, r := range got.GetRoutes() {
		out = append(out, fmt.Sprintf("%s %s:%d", r.GetHost(), r.GetSandbox(), r.GetPort()))
	}
	return out
}

func expose(t *testing.T, c openshellv1.OpenShellClient, name string, port uint32, host string) (*openshellv1.ExposeSandboxPortResponse, error) {
	t.Helper()
	return c.ExposeSandboxPort(t.Context(), &openshellv1.ExposeSandboxPortRequest{Name: name, Port: port, Host: host})
}

func TestExposedPortsHaveNames(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	long := strings.Repeat("a", 63)
	for _, name := range []string{"box", "my.box", "www", long} {
		w.add(t, name, v1.PhaseReady)
	}
	for _, tt := range []struct {
		sandbox string
		port    uint32
		host    string
		want    string
		created bool
	}{
		{"box", 8000, "", "box", true},
		{"box", 8000, "", "box", false},
		{"box", 9000, "", "box-9000", true}, // its name leads elsewhere
		{"box", 9000, "", "box-9000", false},
		{"box", 8000, "shop", "shop", true}, // one port, several names
		{"box", 8000, "shop", "shop", false},
		{"my.box", 80, "", "my-box-80", true}, // no DNS label
		{"www", 80, "", "www-80", true},       // the gateway's own
		{long, 1, "", long, true},
		{long, 65535, "", strings.Repeat("a", 57) + "-65535", true},
	} {
		got, err := expose(t, c, tt.sandbox, tt.port, tt.host)
		if err != nil || got.GetRoute().GetHost() != tt.want || got.GetCreated() != tt.created || got.GetRoute().GetSandboxId() != "id-of-"+tt.sandbox {
			t.Errorf("expose %s %d as %q = %v, %v; want %s, %v", tt.sandbox, tt.port, tt.host, got, err, tt.want, tt.created)
		}
	}
	if diff := cmp.Diff([]string{"box box:8000", "box-9000 box:9000", "shop box:8000"}, table(t, c, "box")); diff != "" {
		t.Errorf("routes of box (-want +got):\n%s", diff)
	}
	if all := table(t, c, ""); len(all) != 7 {
		t.Errorf("all routes: %v", all)
	}
	var made v1.Route
	must(t, w.Get(t.Context(), client.ObjectKey{Namespace: sandboxapi.Namespace, Name: "box"}, &made))
	if owners := made.OwnerReferences; len(owners) != 1 || owners[0].Kind != "Sandbox" || owners[0].Name != "box" || made.Labels[sandboxapi.LabelID] != "id-of-box" {
		t.Errorf("route = %+v", made)
	}
}

func TestFirstComeKeepsTheName(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "one", v1.PhaseReady)
	w.add(t, "two", v1.PhaseStopped) // it may be exposed all the same
	_, err := expose(t, c, "one", 8000, "shop")
	must(t, err)
	for _, tt := range []struct {
		sandbox string
		port    uint32
	}{{"two", 8000}, {"one", 9000}} {
		_, err = expose(t, c, tt.sandbox, tt.port, "shop")
		if status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "shop belongs to port 8000 of sandbox one") {
			t.Errorf("expose %s %d as shop: %v", tt.sandbox, tt.port, err)
		}
	}
	_, err = c.UnexposeSandboxPort(t.Context(), &openshellv1.UnexposeSandboxPortRequest{Name: "one", Host: "shop"})
	must(t, err)
	if _, err := expose(t, c, "two", 8000, "shop"); err != nil {
		t.Errorf("a name that is free again: %v", err)
	}
}

func TestExposeRefuses(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "box", v1.PhaseReady)
	must(t, w.Delete(t.Context(), w.add(t, "going", v1.PhaseReady))) // its finalizer keeps it
	for _, tt := range []struct {
		name    string
		request *openshellv1.ExposeSandboxPortRequest
		code    codes.Code
		say     string
	}{
		{"unknown sandbox", &openshellv1.ExposeSandboxPortRequest{Name: "nobody", Port: 80}, codes.NotFound, "nobody does not exist"},
		{"no sandbox", &openshellv1.ExposeSandboxPortRequest{Port: 80}, codes.InvalidArgument, "name: "},
		{"no port", &openshellv1.ExposeSandboxPortRequest{Name: "box"}, codes.InvalidArgument, "port: 0 is not 1 to 65535"},
		{"large port", &openshellv1.ExposeSandboxPortRequest{Name: "box", Port: 1<<32 - 1}, codes.InvalidArgument, "port: "},
		{"supervisor", &openshellv1.ExposeSandboxPortRequest{Name: "box", Port: 2222}, codes.InvalidArgument, "port: 2222 is the supervisor's"},
		{"reserved", &openshellv1.ExposeSandboxPortRequest{Name: "box", Port: 80, Host: "collab"}, codes.InvalidArgument, "host: "},
		{"no label", &openshellv1.ExposeSandboxPortRequest{Name: "box", Port: 80, Host: "a.b"}, codes.InvalidArgument, "host: "},
		{"path", &openshellv1.ExposeSandboxPortRequest{Name: "box", Port: 80, Host: "../x"}, codes.InvalidArgument, "host: "},
		{"going", &openshellv1.ExposeSandboxPortRequest{Name: "going", Port: 80}, codes.FailedPrecondition, "being deleted"},
	} {
		_, err := c.ExposeSandboxPort(t.Context(), tt.request)
		if status.Code(err) != tt.code || !strings.Contains(err.Error(), tt.say) {
			t.Errorf("%s: %v, want %v and %q", tt.name, err, tt.code, tt.say)
		}
	}
	if all := table(t, c, ""); len(all) > 0 {
		t.Errorf("routes: %v", all)
	}
}

func TestUnexposeSelects(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "box", v1.PhaseReady)
	w.add(t, "other", v1.PhaseReady)
	_, err := expose(t, c, "other", 1, "a")
	must(t, err)
	for _, tt := range []struct {
		name string
		port uint32
		host string
		want []string // that are left
		code codes.Code
	}{
		{"a port", 1, "", []string{"a other:1", "d box:2"}, codes.OK},
		{"a name", 0, "d", []string{"a other:1", "b box:1", "c box:1"}, codes.OK},
		{"both", 1, "c", []string{"a other:1", "b box:1", "d box:2"}, codes.OK},
		{"all", 0, "", []string{"a other:1"}, codes.OK},
		{"another port", 3, "", []string{"a other:1", "b box:1", "c box:1", "d box:2"}, codes.NotFound},
		{"another's name", 0, "a", []string{"a other:1", "b box:1", "c box:1", "d box:2"}, codes.NotFound},
		{"a name of another port", 2, "c", []string{"a other:1", "b box:1", "c box:1", "d box:2"}, codes.NotFound},
		{"no port", 65536, "", []string{"a other:1", "b box:1", "c box:1", "d box:2"}, codes.InvalidArgument},
	} {
		for host, port := range map[string]uint32{"b": 1, "c": 1, "d": 2} {
			_, err := expose(t, c, "box", port, host)
			must(t, err)
		}
		_, err := c.UnexposeSandboxPort(t.Context(), &openshellv1.UnexposeSandboxPortRequest{Name: "box", Port: tt.port, Host: tt.host})
		if status.Code(err) != tt.code {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.code)
		}
		if diff := cmp.Diff(tt.want, table(t, c, "")); diff != "" {
			t.Errorf("%s: routes left (-want +got):\n%s", tt.name, diff)
		}
	}
	if _, err := c.UnexposeSandboxPort(t.Context(), &openshellv1.UnexposeSandboxPortRequest{Name: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown sandbox: %v", err)
	}
	for range 2 { // nothing to remove is no error when all may go
		if _, err := c.UnexposeSandboxPort(t.Context(), &openshellv1.UnexposeSandboxPortRequest{Name: "box"}); err != nil {
			t.Error(err)
		}
	}
}

// The list is a moment old when the route is made.
func TestExposeOnARace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other string // sandbox that is faster
		want  codes.Code
	}{{"with itself", "box", codes.OK}, {"with another", "other", codes.AlreadyExists}} {
		w, _, c := startWorld(t, Config{})
		w.add(t, "box", v1.PhaseReady)
		w.add(t, "other", v1.PhaseReady)
		w.hook(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			faster := o.DeepCopyObject().(*v1.Route)
			faster.Spec.Sandbox, faster.Spec.SandboxID = tt.other, "id-of-"+tt.other
			must(t, c.Create(ctx, faster))
			return c.Create(ctx, o, opts...)
		}})
		got, err := expose(t, c, "box", 8000, "shop")
		if status.Code(err) != tt.want || got.GetCreated() {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}
