//go:build e2e

package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNginxStaysWhenNothingChanges(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	for _, lines := range []string{"", named("web", 1), named("web", 1000)} {
		f.update(lines)
		before := f.workers()
		for _, same := range []string{lines, reversed(lines)} {
			if a := f.update(same); a.doc["changed"] != false {
				t.Errorf("%d bytes of services: the same again is %v", len(lines), a.doc)
			}
		}
		if after := f.workers(); after != before {
			t.Errorf("%d bytes of services: the same again replaced workers %q by %q", len(lines), before, after)
		}
	}
}

func reversed(lines string) string {
	all := strings.SplitAfter(lines, "\n")
	slices.Reverse(all)
	return strings.Join(all, "")
}

func TestNginxHostileLinesChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	live, workers := f.sh("cat "+liveFile), f.workers()
	for _, line := range []string{
		"web; 172.16.1.2 80", "web 172.16.1.2 80; return 200", "web 172.16.1.2; 80", "web 172.16.1.2 80\rx", "web\t172.16.1.2\t80", "web\x00 172.16.1.2 80",
		"web{} 172.16.1.2 80", "$host 172.16.1.2 80", "../x 172.16.1.2 80", "collab 172.16.1.2 80", "502 172.16.1.2 80", "Web 172.16.1.2 80", "wéb 172.16.1.2 80",
		"web 127.0.0.1 80", "web 172.16.0.1 80", "web 172.17.0.1 80", "web 0.0.0.0 80", "web ::1 80", "web ::ffff:172.16.1.2 80", "web 172.16.1.02 80",
		"web 172.16.1.2 0", "web 172.16.1.2 65536", "web 172.16.1.2 +80", "web 172.16.1.2 080", "web 172.16.1.2 -1", "web 172.16.1.2 8e1",
		"web", "web 172.16.1.2", "web 172.16.1.2 80 81", " web 172.16.1.2 80", "web  172.16.1.2 80", "web 172.16.1.2 80 ", " ", "#web 172.16.1.2 80",
		"a 172.16.1.2 80\na 172.16.1.3 80", strings.Repeat("a", 64) + " 172.16.1.2 80", strings.Repeat("a ", 1<<16),
	} {
		a := f.script("bin/update-nginx-locations.sh", "good 172.16.1.3 80\n"+line+"\n")
		if a.Status != "error" || !strings.Contains(a.Error, "line ") {
			t.Errorf("%.40q: %v", line, a)
		}
	}
	if after := f.sh("cat " + liveFile); after != live {
		t.Errorf("the live file has become:\n%s", after)
	}
	if after := f.workers(); after != workers {
		t.Error("nginx was reloaded")
	}
	if got := f.sh("ls -A " + "/etc/nginx/conf.d"); got != "reverse-proxy.conf\n" {
		t.Errorf("left beside the live file: %s", got)
	}
}

// A candidate that nginx does not accept, and one that it accepts and then
// cannot put into effect, leave everything as it was.
func TestNginxRollsBack(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	before := f.sh("cat " + liveFile + " /run/openshell-edge/nginx.conf")
	f.startInside("/opt/echo 0.0.0.0:7101")
	eventually(t, patience, "the port is taken", func() bool { return f.try("", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7101").code == 0 })
	f.sh("echo nonsense >/tmp/cert.pem")
	for want, env := range map[string]string{
		"nginx does not accept the configuration: ": "GATEWAY_TLS_CERT=/tmp/cert.pem GATEWAY_TLS_KEY=/tmp/cert.pem",
		"nginx refused to reload: bind()":           "APP_GATEWAY_PORT=7101",
	} {
		r := f.try("new 172.16.1.2 8888\n", "bash", "-c", env+" exec /app/bin/update-nginx-locations.sh")
		if a := f.answerOf(r); !strings.Contains(a.Error, want) {
			t.Errorf("%s: %v", env, a)
		}
		if after := f.sh("cat " + liveFile + " /run/openshell-edge/nginx.conf"); after != before {
			t.Errorf("%s: the files have become:\n%s", env, after)
		}
		if web, fresh := f.get("/web", nil), f.get("/new", nil); web.status != 200 || fresh.status != 404 {
			t.Errorf("%s: /web answers %d and /new %d", env, web.status, fresh.status)
		}
	}
	// And the next one is no worse for it.
	f.update("new 172.16.1.2 8888\n")
	if web, fresh := f.get("/web", nil), f.get("/new", nil); web.status != 404 || fresh.status != 200 {
		t.Errorf("/web answers %d and /new %d", web.status, fresh.status)
	}
}

func TestNginxTakesAThousandServicesInTime(t *testing.T) {
	f := newFront(t)
	const limit = 100 * time.Millisecond
	f.copyInText(named("web", 1000), "/tmp/a")
	f.copyInText(named("app", 1000), "/tmp/b")
	var all []string
	// Others may keep the machine busy.
	for best := time.Hour; best > limit; {
		if len(all) >= 50 {
			t.Fatalf("1,000 services take %s at best, want at most %s", best, limit)
		}
		for line := range strings.Lines(f.sh(`source /app/config.conf
for set in a b a b a; do
  before=${EPOCHREALTIME/./}
  "$APP_GATEWAY" nginx update <"/tmp/$set" >/tmp/out
  echo "$((${EPOCHREALTIME/./} - before)) $(jq .changed /tmp/out)"
done
"$APP_GATEWAY" nginx base >&2`)) {
			var micros int
			var changed bool
			if _, err := fmt.Sscan(line, &micros, &changed); err != nil || !changed {
				t.Fatalf("%q: %v", line, err)
			}
			took := time.Duration(micros) * time.Microsecond
			best = min(best, took)
			all = append(all, took.Round(time.Millisecond).String())
		}
	}
	t.Logf("1,000 services take %s", strings.Join(all, " "))
}

func (b *box) copyInText(text, to string) {
	b.t.Helper()
	if r := b.try(text, "bash", "-c", "cat >"+to); r.code != 0 {
		b.t.Fatal(r.stderr)
	}
}

// flow counts requests of one kind until it is told to stop.
type flow struct {
	method    string
	keepAlive bool
	sent      int
	failures  []string
}

func (l *flow) run(stop <-chan struct{}, f *front) {
	transport := &http.Transport{DisableKeepAlives: !l.keepAlive}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ticker := time.NewTicker(20 * time.Millisecond) // several requests for each update
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		var body io.Reader
		if l.method == http.MethodPost {
			body = bytes.NewReader(make([]byte, 10_000))
		}
		p, err := f.do(client, l.method, "http://"+f.address+"/steady/", nil, body)
		l.sent++
		if err != nil || p.status != http.StatusOK {
			l.failures = append(l.failures, fmt.Sprintf("%d %v %.100s", p.status, err, p.body))
		}
	}
}

// A quarter of the updates changes nothing. A reload is a pair of new workers.
func TestNginxLosesNoRequestInAThousandUpdates(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	const updates = 1000
	f.update("steady 172.16.1.2 8888\n")
	stop := make(chan struct{})
	flows := []*flow{{method: "GET", keepAlive: true}, {method: "GET"}, {method: "POST", keepAlive: true}, {method: "POST"}}
	var running sync.WaitGroup
	for _, l := range flows {
		running.Go(func() { l.run(stop, f) })
	}
	out := f.longRun(10*time.Minute, `source /app/config.conf
read -r master _ </run/openshell-edge/nginx.pid
declare -A seen
fresh() { # adds workers that were not there before to count
  local child
  for child in $(<"/proc/$master/task/$master/children"); do
    if [[ -z ${seen[$child]:-} ]]; then seen[$child]=1; count=$((count + 1)); fi
  done
}
count=0
fresh
reloads=0 changes=0 workers=$count
for ((i = 1; i <= `+strconv.Itoa(updates)+`; i++)); do
  ((i % 4 == 0)) || number=$i
  answer=$(printf 'steady 172.16.1.2 8888\nother-%d 172.16.1.3 9999\n' "$number" | "$APP_GATEWAY" nginx update)
  if [[ $answer == *'"changed":true,"reloaded":true'* ]]; then changes=$((changes + 1)); fi
  count=0
  fresh
  until ((count % workers == 0)); do fresh; done # nginx starts one after the other
  reloads=$((reloads + count / workers))
done
echo "$changes $reloads"`)
	close(stop)
	running.Wait()
	var changes, reloads int
	if _, err := fmt.Sscan(out, &changes, &reloads); err != nil || changes != updates-updates/4 || reloads != changes {
		t.Errorf("%d changes and %d reloads, want %d of each (%v)", changes, reloads, updates-updates/4, err)
	}
	for _, l := range flows {
		t.Logf("%s, keep-alive %t: %d requests, %d failed", l.method, l.keepAlive, l.sent, len(l.failures))
		if l.sent == 0 || len(l.failures) > 0 {
			t.Errorf("%s, keep-alive %t: %d of %d failed: %.500q", l.method, l.keepAlive, len(l.failures), l.sent, l.failures)
		}
	}
}

// When the update has answered, every new connection is served by it.
func TestNginxServesAnUpdateWhenItAnswers(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 20 {
		name := fmt.Sprintf("web-%d", i)
		f.update(name + " 172.16.1.2 8888\n")
		for range 10 {
			p, err := f.do(fresh, "GET", "http://"+f.address+"/"+name, nil, nil)
			if err != nil || p.status != http.StatusOK {
				t.Fatalf("%s: %d %v", name, p.status, err)
			}
		}
	}
}

func TestNginxUpdatesTakeTurns(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			cmd := exec.CommandContext(ctx, "docker", "exec", "--interactive", f.id, "bash", "-c", `source /app/config.conf; exec "$APP_GATEWAY" nginx update`)
			cmd.Stdin = strings.NewReader(fmt.Sprintf("web-%d 172.16.1.2 8888\n", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("update %d: %v: %s", i, err, out)
			}
		})
	}
	running.Wait()
	served := 0
	for i := range 8 {
		if f.get(fmt.Sprintf("/web-%d", i), nil).status == http.StatusOK {
			served++
		}
	}
	if served != 1 {
		t.Errorf("%d of 8 sets are served, want the last", served)
	}
}

// dial opens a connection to nginx that the test itself speaks on.
func (f *front) dial() net.Conn {
	f.t.Helper()
	conn, err := net.DialTimeout("tcp", f.address, patience)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}
