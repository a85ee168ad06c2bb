package dockerproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

var boxID = strings.Repeat("c0ffee00", 8)

// fakeEngine answers what the tests ask and notes what reached it.
type fakeEngine struct {
	mu    sync.Mutex
	calls []string
	more  chan struct{} // lets a log go on
}

func (f *fakeEngine) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(versionHeader, "1.41")
	version, path := splitVersion(r.URL.Path)
	if r.Method != http.MethodHead && path != "/_ping" {
		f.mu.Lock()
		f.calls = append(f.calls, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
	}
	if version != "" && version != "1.41" {
		http.Error(w, `{"message":"client version is too new"}`, http.StatusBadRequest)
		return
	}
	switch {
	case path == "/containers/create" || strings.HasSuffix(path, "/exec"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		id := boxID
		if strings.HasSuffix(path, "/exec") {
			id = strings.Repeat("e", 64)
		}
		fmt.Fprintf(w, `{"Id":%q}`, id)
	case path == "/containers/"+boxID+"/json":
		fmt.Fprint(w, `{"Name":"/box"}`)
	case strings.HasSuffix(path, "/logs"):
		fmt.Fprint(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-f.more:
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "two\n")
	case strings.HasPrefix(path, "/exec/") && strings.HasSuffix(path, "/start"):
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = io.CopyN(io.Discard, rw, r.ContentLength)
		fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		input, _ := io.ReadAll(rw) // to the end of the process's input
		conn.Write(append([]byte{1, 0, 0, 0, 0, 0, 0, byte(len(input))}, bytes.ToUpper(input)...))
	case strings.HasSuffix(path, "/archive"):
		w.Header().Set("X-Docker-Container-Path-Stat", "e30=") // {}
		_, _ = io.Copy(io.Discard, r.Body)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// proxied starts a fake engine and a proxy before it.
func proxied(t *testing.T, o Options) (*fakeEngine, *Proxy) {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o.Engine, o.Socket = filepath.Join(dir, "engine"), filepath.Join(dir, "proxy")
	l, err := net.Listen("unix", o.Engine)
	if err != nil {
		t.Fatal(err)
	}
	fake := &fakeEngine{more: make(chan struct{})}
	srv := &http.Server{Handler: fake}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	p, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(o.Socket); !os.IsNotExist(err) {
			t.Errorf("socket after Close: %v", err)
		}
	})
	return fake, p
}

func engineAt(t *testing.T, p *Proxy) docker.Engine {
	t.Helper()
	e, err := docker.Connect(t.Context(), func(name string) string {
		if name == "DOCKER_HOST" {
			return p.Host()
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// recorder is a hook that notes effects and decides by name.
type recorder struct {
	mu       sync.Mutex
	effects  []string
	verdicts map[string]Verdict
}

func (r *recorder) hook(c Call) Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Effect {
		r.effects = append(r.effects, c.Name)
	}
	return r.verdicts[c.Name]
}

func TestEffectsAreNamedWithoutIDs(t *testing.T) {
	var r recorder
	_, p := proxied(t, Options{
		Hook:   r.hook,
		Rename: func(s string) string { return strings.ReplaceAll(s, "box", "BOX") },
	})
	e := engineAt(t, p)
	ctx := t.Context()
	id, err := e.CreateContainer(ctx, docker.ContainerSpec{Name: "box", Image: "image"})
	if err != nil || id != boxID {
		t.Fatalf("created %q, %v", id, err)
	}
	for _, err := range []error{
		e.StartContainer(ctx, id),
		e.RemoveContainer(ctx, "box"),
		e.RemoveVolume(ctx, "box"),
		e.WriteFile(ctx, id, "/state/file", 0o600, []byte("x")),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := e.Container(ctx, id); err != nil {
		t.Error(err)
	}
	for _, argv := range [][]string{{"touch", "file"}, {"node", "status"}} {
		s, err := e.ExecStream(ctx, id, argv)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	want := []string{
		"POST /containers/create BOX",
		"POST /containers/BOX/start",
		"DELETE /containers/BOX",
		"DELETE /volumes/BOX",
		"PUT /containers/BOX/archive /state",
		"POST /containers/BOX/exec: touch file",
		"POST /exec/start BOX: touch file",
		"POST /containers/BOX/exec: node status",
		"POST /exec/start BOX: node status",
	}
	if diff := cmp.Diff(want, r.effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// The proxy of one command did not see the container being made.
func TestNameOfAnOlderContainer(t *testing.T) {
	var r recorder
	_, p := proxied(t, Options{Hook: r.hook})
	if err := engineAt(t, p).StartContainer(t.Context(), boxID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"POST /containers/box/start"}, r.effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

func TestFail(t *testing.T) {
	then := make(chan struct{}, 2)
	r := recorder{verdicts: map[string]Verdict{"POST /containers/box/start": {Outcome: Fail, Then: func() { then <- struct{}{} }}}}
	fake, p := proxied(t, Options{Hook: r.hook})
	err := engineAt(t, p).StartContainer(t.Context(), "box")
	if err == nil || !strings.Contains(err.Error(), Message) || docker.IsUnreachable(err) || docker.IsNotFound(err) {
		t.Errorf("a failed call: %v", err)
	}
	if calls := fake.seen(); len(calls) != 0 || len(then) != 1 {
		t.Errorf("the engine was asked for %v; Then was called %d times", calls, len(then))
	}
}

func TestLoseTheAnswer(t *testing.T) {
	then := make(chan struct{}, 2)
	r := recorder{verdicts: map[string]Verdict{"DELETE /volumes/box": {Outcome: Lose, Then: func() { then <- struct{}{} }}}}
	fake, p := proxied(t, Options{Hook: r.hook})
	e := engineAt(t, p)
	if err := e.RemoveVolume(t.Context(), "box"); !docker.IsUnreachable(err) {
		t.Errorf("a lost answer: %v", err)
	}
	if diff := cmp.Diff([]string{"DELETE /v1.41/volumes/box"}, fake.seen()); diff != "" || len(then) != 1 {
		t.Errorf("Then was called %d times; calls made (-want +got):\n%s", len(then), diff)
	}
	// The next call is not concerned.
	if err := e.RemoveVolume(t.Context(), "other"); err != nil {
		t.Error(err)
	}
}

// The end of the input of a process passes through, and leaves its output open.
func TestHalfClosedStream(t *testing.T) {
	_, p := proxied(t, Options{})
	s, err := engineAt(t, p).ExecStream(t.Context(), "box", []string{"tr"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.WriteString(s, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := s.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s)
	if err != nil || string(out) != "HELLO" {
		t.Errorf("output %q, %v", out, err)
	}
}

func TestLoseAStream(t *testing.T) {
	const start = "POST /exec/start box: tr"
	done := make(chan struct{})
	r := recorder{verdicts: map[string]Verdict{start: {Outcome: Lose, Then: func() { close(done) }}}}
	fake, p := proxied(t, Options{Hook: r.hook})
	_, err := engineAt(t, p).Exec(t.Context(), "box", docker.ExecSpec{Argv: []string{"tr"}, Stdin: strings.NewReader("hello")})
	if !docker.IsUnreachable(err) {
		t.Errorf("a lost stream: %v", err)
	}
	<-done
	if calls := fake.seen(); len(calls) != 2 {
		t.Errorf("calls made: %v", calls)
	}
}

func TestAnswersArriveAsTheyCome(t *testing.T) {
	fake, p := proxied(t, Options{})
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", p.opts.Socket)
	}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://engine/v1.41/containers/box/logs")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "one\n" {
		t.Fatalf("first line %q, %v", first, err)
	}
	close(fake.more)
	rest, err := io.ReadAll(res.Body)
	if err != nil || string(rest) != "two\n" {
		t.Errorf("the rest: %q, %v", rest, err)
	}
}

func TestLatencyAndDelay(t *testing.T) {
	const latency, delay = 30 * time.Millisecond, 50 * time.Millisecond
	r := recorder{verdicts: map[string]Verdict{"POST /containers/box/start": {Delay: delay}}}
	_, p := proxied(t, Options{Hook: r.hook, Latency: latency})
	e := engineAt(t, p)
	began := time.Now()
	if err := e.StartContainer(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < latency+delay {
		t.Errorf("a call took %s", took)
	}
}

func TestAnnouncedVersion(t *testing.T) {
	for _, tc := range []struct{ announced, client, engine string }{
		{"1.99", "1.56", "/v1.41/containers/box/start"},
		{"1.41", "1.41", "/v1.41/containers/box/start"},
	} {
		fake, p := proxied(t, Options{APIVersion: tc.announced})
		e := engineAt(t, p)
		if err := e.StartContainer(t.Context(), "box"); err != nil {
			t.Errorf("announced %s: %v", tc.announced, err)
		}
		if diff := cmp.Diff([]string{"POST " + tc.engine}, fake.seen()); diff != "" {
			t.Errorf("announced %s: calls (-want +got):\n%s", tc.announced, diff)
		}
	}
	_, p := proxied(t, Options{APIVersion: "1.40"})
	_, err := docker.Connect(t.Context(), func(string) string { return p.Host() })
	if !fault.HasID(err, fault.DockerTooOld) {
		t.Errorf("announced 1.40: %v", err)
	}
}

// A client that goes away takes its calls with it.
func TestClientGone(t *testing.T) {
	fake, p := proxied(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	logs, err := engineAt(t, p).Logs(ctx, "box", docker.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	logs.Close()
	if calls := fake.seen(); len(calls) != 1 {
		t.Errorf("calls made: %v", calls)
	}
}
