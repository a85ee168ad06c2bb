package server

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/session"
)

func TestCreateKeepsTheEnvironmentInTheSecretAlone(t *testing.T) {
	w, s, c := startWorld(t, Config{Sandboxes: Sandboxes{Image: "default:1"}})
	env := map[string]string{"API_KEY": "hunter2-of-the-user"}
	made, err := c.CreateSandbox(t.Context(), &openshellv1.CreateSandboxRequest{Name: "web", Spec: &datamodelv1.SandboxSpec{Environment: env}})
	must(t, err)
	if diff := cmp.Diff(env, made.GetSandbox().GetSpec().GetEnvironment()); diff != "" {
		t.Errorf("environment of the answer (-want +got):\n%s", diff)
	}
	got, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"})
	must(t, err)
	if diff := cmp.Diff(env, got.GetSandbox().GetSpec().GetEnvironment()); diff != "" || got.GetSandbox().GetId() != made.GetSandbox().GetId() {
		t.Errorf("GetSandbox() = %v", got)
	}
	if image := got.GetSandbox().GetSpec().GetTemplate().GetImage(); image != "default:1" {
		t.Errorf("image = %q", image)
	}
	var resource v1.Sandbox
	must(t, w.Get(t.Context(), client.ObjectKey{Namespace: sandboxapi.Namespace, Name: "web"}, &resource))
	if strings.Contains(fmt.Sprintf("%+v", resource), "hunter2") {
		t.Error("the value is in the resource")
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Error("the value is in the log")
	}
	listed, err := c.ListSandboxes(t.Context(), &openshellv1.ListSandboxesRequest{})
	must(t, err)
	if strings.Contains(listed.String(), "hunter2") {
		t.Error("the value is in a list")
	}
}

func TestCreateWithoutANameDrawsOne(t *testing.T) {
	w, _, c := startWorld(t, Config{Sandboxes: Sandboxes{Image: "i"}})
	conflicts := 3
	w.hook(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if _, ok := o.(*v1.Sandbox); ok && conflicts > 0 {
			conflicts--
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "sandboxes"}, o.GetName())
		}
		return c.Create(ctx, o, opts...)
	}})
	made, err := c.CreateSandbox(t.Context(), &openshellv1.CreateSandboxRequest{})
	must(t, err)
	if name := made.GetSandbox().GetName(); !regexp.MustCompile(`^[a-z]+-[a-z]+$`).MatchString(name) {
		t.Errorf("name = %q", name)
	}
	if sandboxes, secrets := w.count(t); sandboxes != 1 || secrets != 1 {
		t.Errorf("%d sandboxes and %d Secrets are left, want one of each", sandboxes, secrets)
	}
}

func TestCreateLeavesNothingBehind(t *testing.T) {
	for _, tt := range []struct {
		name    string
		request *openshellv1.CreateSandboxRequest
		fail    error
		want    codes.Code
	}{
		{"a name that is taken", &openshellv1.CreateSandboxRequest{Name: "taken"}, nil, codes.AlreadyExists},
		{"a bad name", &openshellv1.CreateSandboxRequest{Name: "Bad_Name"}, nil, codes.InvalidArgument},
		{"an unsupported field", &openshellv1.CreateSandboxRequest{Spec: &datamodelv1.SandboxSpec{Gpu: true}}, nil, codes.InvalidArgument},
		{"an API that fails", &openshellv1.CreateSandboxRequest{Name: "new"}, errDown, codes.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _, c := startWorld(t, Config{Sandboxes: Sandboxes{Image: "i"}})
			w.add(t, "taken", v1.PhaseReady)
			w.hook(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if _, ok := o.(*v1.Sandbox); ok && tt.fail != nil {
					return tt.fail
				}
				return c.Create(ctx, o, opts...)
			}})
			_, err := c.CreateSandbox(t.Context(), tt.request)
			if status.Code(err) != tt.want {
				t.Errorf("CreateSandbox() error = %v, want %v", err, tt.want)
			}
			if sandboxes, secrets := w.count(t); sandboxes != 1 || secrets != 1 {
				t.Errorf("%d sandboxes and %d Secrets, want those of the sandbox before", sandboxes, secrets)
			}
		})
	}
}

func TestInvalidArgumentNamesTheField(t *testing.T) {
	_, _, c := startWorld(t, Config{Sandboxes: Sandboxes{Image: "i"}})
	_, err := c.CreateSandbox(t.Context(), &openshellv1.CreateSandboxRequest{Spec: &datamodelv1.SandboxSpec{Gpu: true}})
	s := status.Convert(err)
	if len(s.Details()) != 1 {
		t.Fatalf("error = %v", err)
	}
	detail, ok := s.Details()[0].(*errdetails.BadRequest)
	if !ok || detail.GetFieldViolations()[0].GetField() != "spec.gpu" || !strings.HasPrefix(s.Message(), "spec.gpu: ") {
		t.Errorf("error = %v with %v", err, s.Details())
	}
}

func TestCreateWaitsForTheEndOfASandboxOfTheName(t *testing.T) {
	w, _, c := startWorld(t, Config{Sandboxes: Sandboxes{Image: "i"}})
	old := w.add(t, "web", v1.PhaseReady)
	must(t, w.Delete(t.Context(), old)) // its finalizer keeps it
	released := make(chan error, 1)
	time.AfterFunc(150*time.Millisecond, func() {
		released <- w.Patch(context.Background(), old, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
	})
	made, err := c.CreateSandbox(t.Context(), &openshellv1.CreateSandboxRequest{Name: "web"})
	must(t, <-released)
	must(t, err)
	if made.GetSandbox().GetId() == old.Spec.ID {
		t.Error("the old sandbox was answered")
	}
}

func TestReadErrorsAreNotAbsence(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	w.hook(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, ok := o.(*corev1.Secret); ok {
			return errDown
		}
		return c.Get(ctx, key, o, opts...)
	}})
	if got, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"}); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "broken") {
		t.Errorf("GetSandbox() = %v, %v", got, err)
	}
}

func TestUnknownAndMalformedNames(t *testing.T) {
	_, _, c := startWorld(t, Config{})
	for name, want := range map[string]codes.Code{"nobody": codes.NotFound, "": codes.InvalidArgument, "../x": codes.InvalidArgument} {
		t.Run(name, func(t *testing.T) {
			_, get := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: name})
			_, del := c.DeleteSandbox(t.Context(), &openshellv1.DeleteSandboxRequest{Name: name})
			_, stop := c.StopSandbox(t.Context(), &openshellv1.StopSandboxRequest{Name: name})
			_, start := c.StartSandbox(t.Context(), &openshellv1.StartSandboxRequest{Name: name})
			for method, err := range map[string]error{"Get": get, "Delete": del, "Stop": stop, "Start": start} {
				if status.Code(err) != want {
					t.Errorf("%s: %v, want %v", method, err, want)
				}
			}
		})
	}
}

func TestListIsPagedInTheOrderOfNames(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	for _, name := range []string{"d", "a", "c", "b", "e"} {
		w.add(t, name, v1.PhaseReady)
	}
	for _, tt := range []struct {
		limit, offset uint32
		want          string
	}{
		{0, 0, "a b c d e"}, {2, 0, "a b"}, {2, 2, "c d"}, {2, 4, "e"}, {2, 5, ""}, {1 << 31, 1 << 31, ""}, {1 << 31, 1, "b c d e"},
	} {
		got, err := c.ListSandboxes(t.Context(), &openshellv1.ListSandboxesRequest{Limit: tt.limit, Offset: tt.offset})
		must(t, err)
		var names []string
		for _, s := range got.GetSandboxes() {
			names = append(names, s.GetName())
		}
		if strings.Join(names, " ") != tt.want {
			t.Errorf("limit %d offset %d: %q, want %q", tt.limit, tt.offset, names, tt.want)
		}
	}
}

func TestPageSizes(t *testing.T) {
	all := make([]int, 3000)
	for _, tt := range []struct {
		limit uint32
		want  int
	}{{0, 100}, {1, 1}, {1000, 1000}, {1001, 1000}} {
		if got := len(page(all, 0, tt.limit)); got != tt.want {
			t.Errorf("limit %d gives %d, want %d", tt.limit, got, tt.want)
		}
	}
}

func TestDeleteIsIdempotentUntilTheEnd(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	for range 2 {
		got, err := c.DeleteSandbox(t.Context(), &openshellv1.DeleteSandboxRequest{Name: "web"})
		if err != nil || !got.GetDeleted() {
			t.Fatalf("DeleteSandbox() = %v, %v", got, err)
		}
	}
	got, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"})
	if err != nil || got.GetSandbox().GetPhase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING {
		t.Errorf("GetSandbox() = %v, %v", got, err)
	}
	must(t, w.Patch(t.Context(), s, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	if _, err := c.DeleteSandbox(t.Context(), &openshellv1.DeleteSandboxRequest{Name: "web"}); status.Code(err) != codes.NotFound {
		t.Errorf("DeleteSandbox() error = %v, want NOT_FOUND", err)
	}
}

func TestStopAndStart(t *testing.T) {
	w, _, c := startWorld(t, Config{})
	s := w.add(t, "web", v1.PhaseReady)
	for range 2 { // twice is no error
		got, err := c.StopSandbox(t.Context(), &openshellv1.StopSandboxRequest{Name: "web"})
		if err != nil || !got.GetSandbox().GetStatus().GetStopped() {
			t.Fatalf("StopSandbox() = %v, %v", got, err)
		}
	}
	w.setPhase(t, s, v1.PhaseStopped)
	for range 2 {
		got, err := c.StartSandbox(t.Context(), &openshellv1.StartSandboxRequest{Name: "web"})
		if err != nil || got.GetSandbox().GetStatus().GetStopped() || got.GetSandbox().GetPhase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING {
			t.Fatalf("StartSandbox() = %v, %v", got, err)
		}
	}
	must(t, w.Delete(t.Context(), s))
	if _, err := c.StartSandbox(t.Context(), &openshellv1.StartSandboxRequest{Name: "web"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("StartSandbox() of a sandbox that is going: %v", err)
	}
}

func TestCallsWaitForTheAPIAndThenSayUnavailable(t *testing.T) {
	refused := fmt.Errorf("dial tcp: %w", syscall.ECONNREFUSED)
	w, _, c := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	failures := 2
	w.hook(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if failures--; failures >= 0 {
			return refused
		}
		return c.Get(ctx, key, o, opts...)
	}})
	if _, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: "web"}); err != nil {
		t.Errorf("an API that comes back: %v", err)
	}
	failures = 1 << 30
	_, err := c.GetSandbox(deadlined(t, time.Second), &openshellv1.GetSandboxRequest{Name: "web"})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "Kubernetes API does not answer") {
		t.Errorf("an API that stays away: %v", err)
	}
}

func TestErrorsThatAreNotOfTheClientTellItNothing(t *testing.T) {
	for err, want := range map[error]codes.Code{
		context.Canceled:         codes.Canceled,
		context.DeadlineExceeded: codes.Unavailable,
		errDown:                  codes.Internal,
		session.ErrTooMany:       codes.ResourceExhausted,
		apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x", errDown): codes.Internal,
		apierrors.NewTooManyRequests("slow down", 1):                                    codes.Unavailable,
		apierrors.NewRequestEntityTooLargeError("limit is 3145728"):                     codes.InvalidArgument,
		status.Error(codes.NotFound, "as it is"):                                        codes.NotFound,
	} {
		got := answer(fmt.Errorf("wrapped: %w", err), discard())
		if status.Code(got) != want {
			t.Errorf("answer(%v) = %v, want %v", err, got, want)
		}
		if want != codes.NotFound && errors.Is(got, err) {
			t.Errorf("answer(%v) carries its cause", err)
		}
	}
	if answer(nil, discard()) != nil {
		t.Error("no error became one")
	}
}
