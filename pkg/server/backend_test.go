package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
)

// failing is a controller that ends as it is told.
type failing struct {
	*world
	run func(context.Context) error
}

func (f failing) Run(ctx context.Context) error { return f.run(ctx) }

func TestControllerThatEndsIsStartedAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"with an error", func(context.Context) error { return errors.New("lost its way") }},
		{"without one", func(context.Context) error { return nil }},
		{"by a panic", func(context.Context) error { panic("lost its way") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // pauses of one and two seconds
			w := newWorld(t)
			var starts atomic.Int32
			third := make(chan struct{})
			_, s, c := startWorld(t, Config{NewController: func(*slog.Logger) (Controller, error) {
				switch starts.Add(1) {
				case 1:
					return failing{w, tt.run}, nil
				case 2:
					return nil, errors.New("not yet")
				}
				close(third)
				return w, nil
			}})
			w.add(t, "web", v1.PhaseReady)
			<-third
			if _, err := c.GetSandbox(deadlined(t, 20*time.Second), &openshellv1.GetSandboxRequest{Name: "web"}); err != nil {
				t.Errorf("GetSandbox() error = %v", err)
			}
			if log := s.log.String(); !strings.Contains(log, "is started again") {
				t.Errorf("the log does not tell:\n%s", log)
			}
		})
	}
}

func TestServerAnswersBeforeThereIsAController(t *testing.T) {
	_, s, c := startWorld(t, Config{NewController: func(*slog.Logger) (Controller, error) { return nil, errors.New("no API") }})
	if code, body, err := get(t, "http://"+s.ProbeAddr().String()+"/readyz", nil); code != 200 {
		t.Errorf("GET /readyz = %d %q, %v", code, body, err)
	}
	got, err := c.Health(t.Context(), &openshellv1.HealthRequest{})
	if err != nil || got.GetStatus() != openshellv1.ServiceStatus_SERVICE_STATUS_HEALTHY {
		t.Errorf("Health() = %v, %v", got, err)
	}
	_, err = c.ListSandboxes(deadlined(t, time.Second), &openshellv1.ListSandboxesRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("ListSandboxes() error = %v, want UNAVAILABLE", err)
	}
}

func TestHealthIsDegradedWhenTheAPIStaysAway(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	b := newBackend(func(*slog.Logger) (Controller, error) { return w, nil }, "n", discard())
	b.now = func() time.Time { return now }
	a := &api{backend: b, log: discard()}
	health := func() openshellv1.ServiceStatus {
		got, err := a.Health(t.Context(), nil)
		must(t, err)
		return got.GetStatus()
	}
	probe := func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // after one look
		b.probe(ctx, w.Client())
	}
	now = now.Add(degradedAfter - time.Second)
	if got := health(); got != openshellv1.ServiceStatus_SERVICE_STATUS_HEALTHY {
		t.Errorf("at first: %v", got)
	}
	now = now.Add(2 * time.Second)
	if got := health(); got != openshellv1.ServiceStatus_SERVICE_STATUS_DEGRADED {
		t.Errorf("without any answer: %v", got)
	}
	w.hook(interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return errDown }})
	probe()
	if got := health(); got != openshellv1.ServiceStatus_SERVICE_STATUS_DEGRADED {
		t.Errorf("after an error: %v", got)
	}
	w.hook(interceptor.Funcs{})
	probe()
	if got := health(); got != openshellv1.ServiceStatus_SERVICE_STATUS_HEALTHY {
		t.Errorf("after an answer: %v", got)
	}
}
