package edgehost

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/process"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	pingTimeout   = 500 * time.Millisecond
	resetPatience = time.Minute // with a reset that has not ended yet
	// reloadPatience is with a reload, from when it ended the app the last time:
	// either the new one answers, or the one before comes back.
	reloadPatience = time.Minute
	lookReady      = 5 * time.Second
	lookUnready    = time.Second

	reloadFile = "reload.pid"
)

// Monitor knows how the edge is, and since when.
type Monitor struct {
	process func() nodeapi.Component // the edge's, as the supervisor has it
	run     string
	ping    func(context.Context) error
	tls     atomic.Bool // what nginx speaks
	alive   func(file string) bool
	now     func() time.Time

	mu    sync.Mutex
	ready bool
	since time.Time // when ready became what it is
	begun time.Time // when the edge's process was seen for the first time
}

// NewMonitor watches the edge whose process is described by the function.
func NewMonitor(component func() nodeapi.Component) *Monitor {
	m := &Monitor{process: component, run: edge.RunDir, alive: process.Running, now: time.Now, since: time.Now()}
	m.ping = newPing(net.JoinHostPort("127.0.0.1", strconv.Itoa(nodeapi.HTTPPort)), m.tls.Load)
	return m
}

// UseTLS is said once the settings are known, which is after the first look.
func (m *Monitor) UseTLS() { m.tls.Store(true) }

// newPing asks app-gateway through nginx, as a browser on the laptop would.
func newPing(address string, secure func() bool) func(context.Context) error {
	client := &http.Client{Timeout: pingTimeout, Transport: &http.Transport{
		// It asks this node's own loopback whether app-gateway answers, and sends
		// nothing that is secret. That a certificate has expired is no reason to
		// call the edge failed, which starts it again and changes nothing.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	}}
	return func(ctx context.Context) error {
		url := gateway.WebScheme(secure()) + "://" + address + "/collab/ping"
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Host = "localhost"
		response, err := client.Do(request)
		if err != nil {
			return errors.Unwrap(err) // without the address
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("nginx answers %s for it", response.Status)
		}
		return nil
	}
}

// Watch looks until ctx ends, so that what it knows is no older than a few
// seconds, and passes on what it sees.
func (m *Monitor) Watch(ctx context.Context, tell func(nodeapi.Edge)) {
	for {
		seen := m.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		tell(seen)
		every := lookUnready
		if seen.State == nodeapi.EdgeReady {
			every = lookReady
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// verdict is what one look came to.
type verdict struct {
	err     error // nil: ready
	final   bool  // it does not come back by itself
	pending bool  // somebody works on it
	from    time.Time
}

// Look says how the edge is now.
func (m *Monitor) Look(ctx context.Context) nodeapi.Edge {
	process := m.process()
	v := m.judge(ctx, process)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.begun.IsZero() && process.PID != 0 {
		m.begun = now
	}
	if ready := v.err == nil; ready != m.ready {
		m.ready, m.since = ready, now
	}
	out := nodeapi.Edge{State: nodeapi.EdgeReady, Since: m.since}
	if v.err == nil {
		return out
	}
	out.State, out.Message = nodeapi.EdgeStarting, v.err.Error()
	waited := now.Sub(latest(m.since, m.begun, v.from))
	if v.final || !v.pending && waited > nodeapi.EdgePatience {
		out.State = nodeapi.EdgeFailed
	}
	return out
}

func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

func (m *Monitor) judge(ctx context.Context, process nodeapi.Component) verdict {
	if process.PID == 0 {
		return withoutProcess(process)
	}
	reset, err := readReset(filepath.Join(m.run, filepath.Base(edge.ResetFile)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return verdict{err: errors.New("its scripts have not begun yet")}
	case err != nil:
		return verdict{err: err}
	case reset.Result == "":
		v := verdict{err: fmt.Errorf("a reset is under way: %s", reset.Phase), from: time.Time(reset.StartedAt)}
		v.pending = m.now().Sub(v.from) < resetPatience && m.alive(filepath.Join(m.run, "reset.pid"))
		return v
	case reset.Result != resetOK:
		return verdict{err: fmt.Errorf("the last reset failed: %s", reset.Error), final: true}
	}
	for _, part := range []struct{ name, file string }{
		{"nginx", "nginx.pid"}, {"OpenVPN", "openvpn.pid"}, {"what keeps app-gateway running", "loop.pid"},
	} {
		if !m.alive(filepath.Join(m.run, part.file)) {
			return verdict{err: fmt.Errorf("%s is not running", part.name), final: true}
		}
	}
	if err := m.ping(ctx); err != nil {
		v := verdict{err: fmt.Errorf("app-gateway does not answer: %w", err), from: time.Time(reset.EndedAt)}
		if m.reloading() {
			v.err, v.pending = fmt.Errorf("a reload is under way: %w", err), true
		}
		return v
	}
	return verdict{}
}

// reloading reports whether a reload is at it, which is not cut.
func (m *Monitor) reloading() bool {
	path := filepath.Join(m.run, reloadFile)
	info, err := os.Stat(path)
	return err == nil && m.now().Sub(info.ModTime()) < reloadPatience && m.alive(path)
}

// withoutProcess tells a process that was not started yet from one that ended.
func withoutProcess(process nodeapi.Component) verdict {
	if process.LastExit != "" {
		return verdict{err: fmt.Errorf("its process ended: %s", process.LastExit)}
	}
	return verdict{err: errors.New("it starts after the gateway's API"), pending: true}
}

const resetOK = "ok"

// resetReport is what a reset says of itself.
type resetReport struct {
	Phase     string `json:"phase"`
	Result    string `json:"result"` // "": not over; "ok" or "error"
	Error     string `json:"error"`
	StartedAt moment `json:"startedAt"`
	EndedAt   moment `json:"endedAt"` // "": not over
}

// moment is a time, or nothing.
type moment time.Time

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	return (*time.Time)(m).UnmarshalText(text)
}

func readReset(path string) (resetReport, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return resetReport{}, err
	}
	return parseReset(data)
}

func parseReset(data []byte) (resetReport, error) {
	var r resetReport
	if err := json.Unmarshal(data, &r); err != nil {
		return resetReport{}, fmt.Errorf("the report of the last reset cannot be read: %w", err)
	}
	return r, nil
}
