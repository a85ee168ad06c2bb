package parts

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// slowAPI says that it is not healthy until it was asked enough.
func slowAPI(t *testing.T, until int64) (config *rest.Config, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n < until || r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, QPS: -1}, asked
}

func TestPitfall16WaitHealthyTakesAsLongAsItTakes(t *testing.T) {
	config, asked := slowAPI(t, 15)
	if err := WaitHealthy(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 15 {
		t.Errorf("asked %d times, the answer to the 15th was ok", n)
	}
}

func TestWaitEnds(t *testing.T) {
	config, _ := slowAPI(t, 1<<30)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WaitHealthy(ctx, config); !errors.Is(err, context.Canceled) {
		t.Errorf("with its context: %v", err)
	}
	ended := make(chan error, 1)
	gone := errors.New("kube-apiserver: exit")
	ended <- gone
	if err := WaitReadable(t.Context(), config, ended); !errors.Is(err, gone) {
		t.Errorf("with a component: %v", err)
	}
}
