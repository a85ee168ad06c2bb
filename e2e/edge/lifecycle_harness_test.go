//go:build e2e

package edge

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// standin is the program that takes app-gateway's place. Its mode is how it
// misbehaves.
func standin(t *testing.T, build, mode string) string {
	t.Helper()
	return program(t, "standin-"+build+"-"+mode, "standin", "-X main.build="+build+" -X main.mode="+mode)
}

// put writes a program into the box.
func (b *box) put(path, from string) {
	b.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		b.t.Fatal(err)
	}
	r := b.try(string(data), "bash", "-ec", `mkdir -p "$(dirname "$0")"; cat >"$0"; chmod 0755 "$0"`, path)
	if r.code != 0 {
		b.t.Fatalf("put %s: %s", path, r.stderr)
	}
}

// newStandinBox is a box whose release has the stand-in.
func newStandinBox(t *testing.T, mode string, flags ...string) *box {
	t.Helper()
	b := newBox(t, flags...)
	b.sh(`mkdir -p /opt/gateway/releases/first/bin
cp -r /opt/openshell/release/app /opt/gateway/releases/first/app
cp /opt/openshell/release/bin/app-gateway /opt/gateway/releases/first/bin/real
ln -sfn releases/first /opt/gateway/current`)
	b.put("/opt/gateway/releases/first/bin/app-gateway", standin(t, "first", mode))
	return b
}

// resetDone is the end of reset.json.
type resetDone struct {
	Phase, Result, Error string
	StartedAt, EndedAt   time.Time
}

// follow waits for the end of the reset that runs.
func (b *box) follow() resetDone {
	b.t.Helper()
	r := b.try("", "/opt/gateway/current/bin/app-gateway", "reset", "follow", "--timeout", "40s")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	var done resetDone
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &done); err != nil {
		b.t.Fatalf("reset follow: %v: %q %s", err, r.stdout, r.stderr)
	}
	if (done.Result == "ok") != (r.code == 0) {
		b.t.Fatalf("reset follow: result %q and exit code %d: %s", done.Result, r.code, r.stderr)
	}
	return done
}

// up resets the gateway.
func (b *box) up() {
	b.t.Helper()
	if a := b.script("bin/reset-gateway.sh", ""); a.Status != "ok" {
		b.t.Fatalf("reset-gateway.sh: %s", a.Error)
	}
	if done := b.follow(); done.Result != "ok" {
		b.t.Fatalf("reset: %s: %s", done.Phase, done.Error)
	}
}

// ask is GET of the app without curl: the body, or nothing.
func (b *box) ask(path string) string {
	b.t.Helper()
	r := b.try("", "bash", "-c", `exec 2>/dev/null 3<>/dev/tcp/127.0.0.1/8888 || exit 1
printf 'GET %s HTTP/1.0\r\n\r\n' "$0" >&3
timeout 30 sed '1,/^\r$/d' <&3`, path)
	return r.stdout
}

// build is which build answers pings; nothing if none does.
func (b *box) build() string {
	b.t.Helper()
	var ping struct{ Build string }
	json.Unmarshal([]byte(b.ask("/collab/ping")), &ping)
	return ping.Build
}

// pid is the process that a script has recorded, 0 if it is gone.
func (b *box) pid(name string) int {
	b.t.Helper()
	r := b.try("", "bash", "-c", `source /app/lib/common.sh; recorded "$GATEWAY_RUN/$0.pid" >&3; answered=1`, name)
	pid, _ := strconv.Atoi(strings.TrimSpace(r.stdout))
	return pid
}

// processes are the command lines of all but the box's own and those that look.
func (b *box) processes() []string {
	b.t.Helper()
	out := b.sh(`for p in /proc/[0-9]*; do
  [[ ${p#/proc/} != "$$" ]] || continue
  line=$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) || continue
  case $line in '' | *docker-init* | 'sleep infinity '*) ;; *) printf '%s\n' "$line" ;; esac
done`)
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

// exists asks for a file in the box.
func (b *box) exists(path string) bool {
	b.t.Helper()
	return b.try("", "test", "-e", path).code == 0
}

func (b *box) kill(signal string, pid int) {
	b.t.Helper()
	b.sh("kill -" + signal + " -- " + strconv.Itoa(pid))
}
