package edgehost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

// stage is an edge that a test plays.
type stage struct {
	t       *testing.T
	m       *Monitor
	process nodeapi.Component
	dead    string // the file whose process is gone
	ping    error
	clock   time.Time
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, clock: noon, process: nodeapi.Component{Name: nodeapi.EdgeComponent, State: "ready", PID: 7}}
	s.m = &Monitor{
		process: func() nodeapi.Component { return s.process }, run: t.TempDir(), since: noon,
		ping:  func(context.Context) error { return s.ping },
		alive: func(file string) bool { return filepath.Base(file) != s.dead },
		now:   func() time.Time { return s.clock },
	}
	return s
}

func (s *stage) reset(result, reason string, began time.Time) {
	s.t.Helper()
	ended := ""
	if result != "" {
		ended = began.Add(time.Second).Format(time.RFC3339)
	}
	text := fmt.Sprintf(`{"phase":"start-vpn","result":%q,"error":%q,"startedAt":%q,"endedAt":%q}`, result, reason, began.Format(time.RFC3339), ended)
	if err := os.WriteFile(filepath.Join(s.m.run, "reset.json"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) wants(state nodeapi.EdgeState, message string) nodeapi.Edge {
	s.t.Helper()
	got := s.m.Look(s.t.Context())
	if got.State != state || !strings.Contains(got.Message, message) || (got.Message == "") != (state == nodeapi.EdgeReady) {
		s.t.Errorf("it is %s: %q; want %s: %q", got.State, got.Message, state, message)
	}
	return got
}

func TestEdgeComesUp(t *testing.T) {
	s := newStage(t)
	s.process.PID = 0
	s.wants(nodeapi.EdgeStarting, "after the gateway's API")
	s.clock = noon.Add(time.Minute) // a slow boot is not its fault
	s.wants(nodeapi.EdgeStarting, "after the gateway's API")
	s.process.PID = 7
	s.wants(nodeapi.EdgeStarting, "have not begun")
	s.reset("", "", s.clock)
	s.wants(nodeapi.EdgeStarting, "start-vpn")
	s.clock = s.clock.Add(nodeapi.EdgePatience * 2)
	s.wants(nodeapi.EdgeStarting, "start-vpn") // somebody works on it
	s.reset("ok", "", s.clock)
	if got := s.wants(nodeapi.EdgeReady, ""); !got.Since.Equal(s.clock) {
		t.Errorf("ready since %s, not %s", got.Since, s.clock)
	}
}

func TestEdgeFails(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(*stage)
		state   nodeapi.EdgeState // at once
		message string
	}{
		"the reset failed":    {func(s *stage) { s.reset("error", "start-vpn: no tun device", noon) }, nodeapi.EdgeFailed, "no tun device"},
		"its report is torn":  {func(s *stage) { os.WriteFile(filepath.Join(s.m.run, "reset.json"), []byte("{"), 0o600) }, nodeapi.EdgeStarting, "cannot be read"},
		"the reset was ended": {func(s *stage) { s.reset("", "", noon); s.dead = "reset.pid" }, nodeapi.EdgeStarting, "under way"},
		"nginx is gone":       {func(s *stage) { s.dead = "nginx.pid" }, nodeapi.EdgeFailed, "nginx"},
		"OpenVPN is gone":     {func(s *stage) { s.dead = "openvpn.pid" }, nodeapi.EdgeFailed, "OpenVPN"},
		"the loop is gone":    {func(s *stage) { s.dead = "loop.pid" }, nodeapi.EdgeFailed, "app-gateway"},
		"the app crashed":     {func(s *stage) { s.ping = errors.New("502") }, nodeapi.EdgeStarting, "502"},
		"its process ended": {func(s *stage) {
			s.process = nodeapi.Component{State: "backoff", LastExit: "exit code 1: ENV_NAME is not set"}
		},
			nodeapi.EdgeStarting, "ENV_NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.reset("ok", "", noon.Add(-time.Hour))
			s.wants(nodeapi.EdgeReady, "")
			s.clock = s.clock.Add(time.Hour)
			test.happens(s)
			got := s.wants(test.state, test.message)
			if !got.Since.Equal(s.clock) {
				t.Errorf("not ready since %s, not %s", got.Since, s.clock)
			}
			s.clock = s.clock.Add(nodeapi.EdgePatience + time.Second)
			s.wants(nodeapi.EdgeFailed, test.message)
		})
	}
}

func TestEdgeComesBackByItself(t *testing.T) {
	s := newStage(t)
	s.reset("ok", "", noon)
	s.wants(nodeapi.EdgeReady, "")
	s.ping = errors.New("refused")
	s.clock = noon.Add(3 * time.Second)
	s.wants(nodeapi.EdgeStarting, "refused")
	s.ping = nil
	s.clock = noon.Add(5 * time.Second)
	if got := s.wants(nodeapi.EdgeReady, ""); !got.Since.Equal(s.clock) {
		t.Errorf("ready since %s", got.Since)
	}
}

// An app that does not answer because it is being replaced has not failed, for as
// long as that may take.
func TestReloadIsNotCut(t *testing.T) {
	for name, test := range map[string]struct {
		dead string
		want nodeapi.EdgeState // after the edge's patience
	}{
		"it runs":       {"", nodeapi.EdgeStarting},
		"it was killed": {reloadFile, nodeapi.EdgeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.reset("ok", "", noon.Add(-time.Hour))
			s.wants(nodeapi.EdgeReady, "")
			file := filepath.Join(s.m.run, reloadFile)
			if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, noon, noon)); err != nil {
				t.Fatal(err)
			}
			s.dead, s.ping = test.dead, errors.New("refused")
			s.wants(nodeapi.EdgeStarting, "refused")
			s.clock = noon.Add(nodeapi.EdgePatience + time.Second)
			s.wants(test.want, "refused")
			s.clock = noon.Add(reloadPatience)
			s.wants(nodeapi.EdgeFailed, "refused")
		})
	}
}

func FuzzParseReset(f *testing.F) {
	f.Add([]byte(`{"phase":"done","result":"ok","error":"","pid":7,"startedAt":"2026-11-21T21:15:00.123Z","endedAt":"","keepEpoch":true}`))
	f.Add([]byte(`{"startedAt":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseReset(data)
	})
}
