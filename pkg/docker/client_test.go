package docker

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/fault"
)

// serveEngine answers on a unix socket and returns its endpoint.
func serveEngine(t *testing.T, h http.HandlerFunc) endpoint {
	t.Helper()
	dir, err := os.MkdirTemp("", "docker") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); _ = os.RemoveAll(dir) })
	return endpoint{"unix://" + path, "the test"}
}

func apiVersion(v string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", v)
		if !strings.HasSuffix(r.URL.Path, "/_ping") && next != nil {
			next(w, r)
		}
	}
}

func TestConnectNegotiatesDownToTheOldestAPI(t *testing.T) {
	for _, tc := range []struct{ server, negotiated string }{
		{"1.24", ""}, {"1.40", ""}, {"1.41", "1.41"}, {"1.47", "1.47"}, {"1.99", "1.56"},
	} {
		e, err := connect(t.Context(), serveEngine(t, apiVersion(tc.server, nil)))
		if tc.negotiated == "" {
			if !fault.HasID(err, fault.DockerTooOld) || fault.ExitOf(err) != fault.ExitUnreachable {
				t.Errorf("API %s: %v", tc.server, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("API %s: %v", tc.server, err)
			continue
		}
		if got := e.(*engine).api.ClientVersion(); got != tc.negotiated {
			t.Errorf("API %s: negotiated %s, want %s", tc.server, got, tc.negotiated)
		}
	}
}

func TestTooOldEngineIsToldWithBothVersions(t *testing.T) {
	_, err := connect(t.Context(), serveEngine(t, apiVersion("1.40", nil)))
	if err == nil || !strings.Contains(err.Error(), "API 1.40") || !strings.Contains(err.Error(), minAPI) {
		t.Errorf("err %v", err)
	}
}

func TestEngineThatIsTooNewAsksForAnUpdate(t *testing.T) {
	e, err := connect(t.Context(), serveEngine(t, apiVersion("1.99", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"message":"client version 1.56 is too old. Minimum supported API version is 1.90, please upgrade your client to a newer version"}`))
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Container(t.Context(), "x")
	if !fault.HasID(err, fault.DockerTooNew) || fault.ExitOf(err) != fault.ExitUnreachable || IsNotFound(err) || IsUnreachable(err) {
		t.Errorf("err %v, exit %d", err, fault.ExitOf(err))
	}
	for _, says := range []string{"API 1.56", "1.90"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in %q", says, err)
		}
	}
}

// Whoever reads of a connection that broke later is told the same of the
// endpoint as one who reads that it could not be made.
func TestLaterErrorsNameTheSourceOfTheEndpoint(t *testing.T) {
	e, err := connect(t.Context(), serveEngine(t, apiVersion("1.41", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Container(t.Context(), "x")
	var f *fault.Error
	if !errors.As(err, &f) || !strings.Contains(strings.Join(f.Hints, "\n"), "comes from the test") {
		t.Errorf("err %v, hints %q", err, f.Hints)
	}
}

func TestConnectionThatBreaksMidwayIsUnreachable(t *testing.T) {
	broken := apiVersion("1.41", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"status":"Loading layer"}`))
		panic(http.ErrAbortHandler)
	})
	e, err := connect(t.Context(), serveEngine(t, broken))
	if err != nil {
		t.Fatal(err)
	}
	_, inspect := e.Container(t.Context(), "x")
	_, load := e.LoadImage(t.Context(), strings.NewReader(""), nil)
	_, wait := e.WaitContainer(t.Context(), "x")
	for name, err := range map[string]error{"inspect": inspect, "load": load, "wait": wait} {
		if !IsUnreachable(err) || fault.ExitOf(err) != fault.ExitUnreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPitfall13ReadErrorIsNotAbsent(t *testing.T) {
	e, err := connect(t.Context(), serveEngine(t, apiVersion("1.41", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"message":"open /var/lib/docker/containers/x: input/output error"}`))
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, file := e.ReadFile(t.Context(), "x", "/f")
	_, container := e.Container(t.Context(), "x")
	_, volume := e.Volume(t.Context(), "x")
	if err := errors.Join(file, container, volume); IsNotFound(err) || file == nil || container == nil || volume == nil {
		t.Errorf("err %v", err)
	}
}

func TestProxyOfAnEngineThatIsNotUpIsUnreachable(t *testing.T) {
	e, err := connect(t.Context(), serveEngine(t, apiVersion("1.41", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Container(t.Context(), "x"); !IsUnreachable(err) {
		t.Errorf("err %v", err)
	}
}
