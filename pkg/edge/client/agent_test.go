package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge/edgeapi"
)

const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// gateway takes events, or refuses them.
type gateway struct {
	*httptest.Server
	mu     sync.Mutex
	events []edgeapi.Event
	status int
	routes []edgeapi.Route
}

func newGateway(t *testing.T, p *Package) *gateway {
	g := &gateway{status: http.StatusOK}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		var e edgeapi.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || r.URL.Path != edgeapi.EventPath || r.Header.Get("Authorization") != "Bearer "+p.Token {
			t.Errorf("%s with %q: %v", r.URL.Path, r.Header.Get("Authorization"), err)
		}
		g.events = append(g.events, e)
		w.WriteHeader(g.status)
		if g.status != http.StatusOK {
			json.NewEncoder(w).Encode(edgeapi.Error{Error: "not now"})
			return
		}
		json.NewEncoder(w).Encode(edgeapi.EventAnswer{Status: "ok", Routes: g.routes})
	}))
	t.Cleanup(g.Close)
	p.Gateway = g.URL
	return g
}

func (g *gateway) set(status int, routes ...edgeapi.Route) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.routes, g.events = status, routes, nil
}

func (g *gateway) types() (types []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		types = append(types, e.Type)
	}
	return types
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newLog() (*buffer, *slog.Logger) {
	b := new(buffer)
	return b, slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestReporterTellsServicesAfterEachConnectionAndFailure(t *testing.T) {
	p := newPackage(t)
	g := newGateway(t, &p)
	said, log := newLog()
	r := newReporter(p, log)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.run(ctx) })
	defer running.Wait()
	defer cancel()

	both := []string{edgeapi.EventWatchdog, edgeapi.EventMapHTTPService}
	r.joined(true)
	eventually(t, "both events", func() bool { return cmp.Equal(both, g.types()) })

	g.set(http.StatusServiceUnavailable)
	r.joined(false)
	r.joined(true)
	eventually(t, "the refusal is said", func() bool { return strings.Contains(said.String(), "503 Service Unavailable not now") })
	// It tries again by itself, sooner than the next beat.
	g.set(http.StatusOK, edgeapi.Route{Host: "site", State: edgeapi.RouteConflict, Message: "it is of sandbox x"})
	eventually(t, "both events again", func() bool { return cmp.Equal(both, g.types()) })
	eventually(t, "the conflict is said", func() bool {
		return strings.Contains(said.String(), "service site is not reachable: it is of sandbox x")
	})
	if strings.Contains(said.String(), p.Token) {
		t.Error("the log has the token")
	}
}

func TestReporterFollowsNoRedirect(t *testing.T) {
	p := newPackage(t)
	var followed bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	here := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer here.Close()
	p.Gateway = here.URL
	_, log := newLog()
	if err := newReporter(p, log).report(t.Context(), true); err == nil || followed {
		t.Errorf("%v, followed %v", err, followed)
	}
}

func TestOutput(t *testing.T) {
	for _, try := range []struct {
		name, text string
		want       output
		changes    []bool
	}{
		{"joined", "TUN/TAP device tun0 opened\nInitialization Sequence Completed\n", output{last: "Initialization Sequence Completed"}, []bool{true}},
		{"refused", "AUTH: Received control message: AUTH_FAILED\nSIGTERM[soft,auth-failure] received, process exiting\n",
			output{refused: true, last: "AUTH: Received control message: AUTH_FAILED"}, nil},
		{"again", "Initialization Sequence Completed\nSIGUSR1[soft,ping-restart] received, process restarting\nInitialization Sequence Completed\n",
			output{last: "Initialization Sequence Completed"}, []bool{true, false, true}},
		{"fatal", "ERROR: Cannot ioctl TUNSETIFF tun: Operation not permitted (errno=1)\nExiting due to fatal error\n",
			output{last: "ERROR: Cannot ioctl TUNSETIFF tun: Operation not permitted (errno=1)"}, nil},
		{"hostile", "\x1b[2Jhello\x07\n" + strings.Repeat("x", 20000) + "\n", output{last: "[2Jhello"}, nil},
		{"nothing", "", output{}, nil},
	} {
		t.Run(try.name, func(t *testing.T) {
			var got output
			var changes []bool
			got.follow(strings.NewReader(try.text), slog.New(slog.NewTextHandler(io.Discard, nil)), func(up bool) { changes = append(changes, up) })
			if diff := cmp.Diff(try.want, got, cmp.AllowUnexported(output{})); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(try.changes, changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// standIn is a program in OpenVPN's place.
func standIn(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "openvpn")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConnection(t *testing.T) {
	said, log := newLog()
	t.Run("refused", func(t *testing.T) {
		c := connection{standIn(t, "echo AUTH: Received control message: AUTH_FAILED; exit 1\n"), t.TempDir(), log, func(bool) {}}
		if joined, err := c.run(t.Context()); joined || !errors.Is(err, errRefused) {
			t.Errorf("joined %v: %v", joined, err)
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		up := make(chan bool, 4)
		c := connection{standIn(t, `trap 'echo told; kill "$child"; exit 0' TERM
sleep 600 >/dev/null & child=$!
echo Initialization Sequence Completed
wait
`), t.TempDir(), log, func(now bool) { up <- now }}
		ended := make(chan bool)
		go func() {
			joined, _ := c.run(ctx)
			ended <- joined
		}()
		if !<-up {
			t.Error("not joined")
		}
		cancel()
		if !<-ended || <-up {
			t.Error("it was joined, and is not any more")
		}
		if !strings.Contains(said.String(), "told") {
			t.Error("OpenVPN was not told to end")
		}
	})
}

func TestAgentTriesAgainAndLeavesNothing(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("no tunnel device here")
	}
	p := newPackage(t)
	newGateway(t, &p)
	said, log := newLog()
	// It tells where its secrets were and with which modes, and fails at first.
	place := filepath.Join(t.TempDir(), "place")
	program := standIn(t, `dir=$(dirname "$2")
stat -c '%a %n' "$dir" "$dir"/* >"`+place+`.new"
mv "`+place+`.new" "`+place+`"
case "$*" in *`+p.Token+`*) echo token in argv;; esac
if [ ! -e "`+place+`.2" ]; then touch "`+place+`.2"; echo cannot resolve; exit 1; fi
echo Initialization Sequence Completed
exec sleep 600
`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Agent{Package: p, OpenVPN: program, Log: log}.Run(ctx) }()
	eventually(t, "it joins at the second try", func() bool { return strings.Contains(said.String(), "joined the VPN") })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), "cannot resolve") || strings.Contains(said.String(), "token in argv") {
		t.Errorf("log:\n%s", said)
	}
	data, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	var modes []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n") {
		mode, name, _ := strings.Cut(line, " ")
		modes = append(modes, mode)
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if diff := cmp.Diff([]string{"700", "600", "600"}, modes); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

func TestAgentSaysWhatIsMissing(t *testing.T) {
	_, log := newLog()
	err := Agent{Package: newPackage(t), OpenVPN: filepath.Join(t.TempDir(), "none"), Log: log}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the container needs OpenVPN") {
		t.Error(err)
	}
}
