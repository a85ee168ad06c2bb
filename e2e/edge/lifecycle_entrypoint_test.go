//go:build e2e

package edge

import (
	"strings"
	"testing"
	"time"
)

// stopLimit is what openshell-node lets the edge have.
const stopLimit = 12 * time.Second

// enter starts the entrypoint as openshell-node does: at the head of a group.
// It returns the group once the reset has begun.
func (b *box) enter() string {
	b.t.Helper()
	b.sh(`setsid bash -c 'echo $$ >/tmp/entrypoint.pid; /app/entrypoint-dev.sh >/tmp/entrypoint.out 2>/tmp/entrypoint.err && code=0 || code=$?
echo $code >/tmp/entrypoint.code' </dev/null >/dev/null 2>&1 &`)
	eventually(b.t, patience, "the reset begins", func() bool { return b.exists("/run/openshell-edge/reset.json") })
	return strings.TrimSpace(b.sh("cat /tmp/entrypoint.pid"))
}

// leave stops the entrypoint by a signal to its group, and waits for its end.
func (b *box) leave(group string) {
	b.t.Helper()
	began := time.Now()
	// Bash at the head of the group waits for its child before it handles the signal.
	b.sh("kill -TERM -- -" + group)
	eventually(b.t, 2*stopLimit, "the entrypoint ends", func() bool {
		return !strings.Contains(strings.Join(b.processes(), "\n"), "entrypoint-dev.sh")
	})
	took := time.Since(began)
	b.t.Logf("stop of the edge: %s", took.Round(time.Millisecond))
	if took > stopLimit {
		b.t.Errorf("the stop took %s, more than %s", took, stopLimit)
	}
	if out := strings.TrimSpace(b.sh("cat /tmp/entrypoint.out")); out != `{"status":"ok"}` {
		b.t.Errorf("the entrypoint answered %q: %s", out, b.sh("cat /tmp/entrypoint.err"))
	}
	eventually(b.t, 5*time.Second, "no process is left", func() bool { return len(b.processes()) == 0 })
	if left := strings.TrimSpace(b.sh("ls -d /tmp/ovpn-* /tmp/gateway-re* /run/openshell-edge/*.pid 2>/dev/null || true")); left != "" {
		b.t.Errorf("left: %s", left)
	}
}

// SIGTERM of the whole group ends everything in order, and the last push arrives.
func TestEntrypointStops(t *testing.T) {
	t.Parallel()
	b := newStandinBox(t, "")
	b.sh("echo 999999 1 1 >/tmp/gateway-resetting; echo torn >/tmp/gateway-reloading")
	group := b.enter()
	if done := b.follow(); done.Result != "ok" {
		t.Fatalf("%s: %s", done.Phase, done.Error)
	}
	b.noMarkers()
	if target := strings.TrimSpace(b.sh("readlink /tmp/gateway.log")); target != "/logs/gateway.log" {
		t.Errorf("/tmp/gateway.log leads to %q", target)
	}
	// Who runs a script by exec gives it nothing of the environment.
	r := b.try("", "env", "-u", "GATEWAY_HTTP_PORT", "-u", "GATEWAY_VPN_PORT", "-u", "ENV_NAME", "/app/main.sh", "-r", "bin/reset-gateway.sh")
	if a := b.answerOf(r); a.Status != "ok" {
		t.Errorf("reset by exec: %s", a.Error)
	}
	if done := b.follow(); done.Result != "ok" {
		t.Errorf("reset by exec: %s", done.Error)
	}
	b.leave(group)
	if b.sh("cat /tmp/standin-pushed") != "first" {
		t.Error("the last push is lost")
	}
}

// A stop in the middle of the reset at boot starts nothing after it.
func TestEntrypointStopsDuringReset(t *testing.T) {
	t.Parallel()
	b := newStandinBox(t, "")
	b.leave(b.enter())
}

// An app that ignores TERM does not keep the gateway.
func TestEntrypointStopsADeafApp(t *testing.T) {
	t.Parallel()
	b := newStandinBox(t, "deaf", "--env", "GATEWAY_STOP_GRACE=2")
	group := b.enter()
	b.follow()
	b.leave(group)
}

func TestEntrypointRefuses(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	tests := map[string]struct{ environment, want string }{
		"http port too low":   {"GATEWAY_HTTP_PORT=7099", "GATEWAY_HTTP_PORT"},
		"http port too high":  {"GATEWAY_HTTP_PORT=7200", "GATEWAY_HTTP_PORT"},
		"http port missing":   {"GATEWAY_HTTP_PORT=", "7100 to 7199"},
		"http port octal":     {"GATEWAY_HTTP_PORT=07100", "GATEWAY_HTTP_PORT"},
		"http port hostile":   {"GATEWAY_HTTP_PORT=a[$(touch /tmp/hostile)]", "GATEWAY_HTTP_PORT"},
		"vpn port too low":    {"GATEWAY_VPN_PORT=49099", "49100 to 49199"},
		"vpn port too high":   {"GATEWAY_VPN_PORT=49200", "GATEWAY_VPN_PORT"},
		"vpn port no number":  {"GATEWAY_VPN_PORT=x", "GATEWAY_VPN_PORT"},
		"environment missing": {"ENV_NAME=", "ENV_NAME"},
		"environment no name": {"ENV_NAME=Dev_1", "ENV_NAME"},
		"environment long":    {"ENV_NAME=" + strings.Repeat("x", 64), "ENV_NAME"},
		"no build":            {"GATEWAY_ROOT=/nowhere", "there is no build at /nowhere/current"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := b.answerOf(b.try("", "env", test.environment, "/app/entrypoint-dev.sh"))
			if a.Status != "error" || !strings.Contains(a.Error, test.want) {
				t.Errorf("got %v, want an error with %q", a.doc, test.want)
			}
		})
	}
	if b.exists("/tmp/hostile") || len(b.processes()) > 0 {
		t.Errorf("something was started: %q", b.processes())
	}
}
