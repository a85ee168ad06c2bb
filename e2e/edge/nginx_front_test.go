//go:build e2e

package edge

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// liveFile is nginx's configuration in a box.
const liveFile = "/etc/nginx/conf.d/reverse-proxy.conf"

// front is a box in which nginx runs, before two services at 172.16.1.2:8888 and
// 172.16.1.3:9999 and what stands in for app-gateway.
type front struct {
	*box
	address string // of nginx, as the host reaches it
}

func newFront(t *testing.T, flags ...string) *front {
	t.Helper()
	b := newBox(t, flags...)
	f := &front{box: b}
	b.copyIn(echo(t), "/opt/echo")
	b.sh("ip address add 172.16.1.2/32 dev lo; ip address add 172.16.1.3/32 dev lo")
	b.startInside("/opt/echo 127.0.0.1:8888 172.16.1.2:8888 172.16.1.3:9999")
	f.mustScript("lib/reset-nginx.sh", "")
	ip, err := exec.Command("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", b.id).Output()
	if err != nil {
		t.Fatal(err)
	}
	f.address = net.JoinHostPort(strings.TrimSpace(string(ip)), "7100")
	eventually(t, patience, "the stand-in answers", func() bool { return f.get("/collab/ping", nil).status == http.StatusOK })
	return f
}

// echo is the program that answers what it was asked.
func echo(t *testing.T) string {
	t.Helper()
	return program(t, "echo", "echo", "")
}

func (b *box) copyIn(from, to string) {
	b.t.Helper()
	if out, err := exec.Command("docker", "cp", from, b.id+":"+to).CombinedOutput(); err != nil {
		b.t.Fatalf("docker cp: %v: %s", err, out)
	}
}

// startInside runs a command that ends with the box.
func (b *box) startInside(command string) {
	b.t.Helper()
	if out, err := exec.Command("docker", "exec", "--detach", b.id, "bash", "-c", command).CombinedOutput(); err != nil {
		b.t.Fatalf("docker exec: %v: %s", err, out)
	}
}

func (b *box) mustScript(name, stdin string) answer {
	b.t.Helper()
	a := b.script(name, stdin)
	if a.Status != "ok" {
		b.t.Fatalf("%s: %s", name, a.Error)
	}
	return a
}

// update makes nginx lead to these services and no others.
func (b *box) update(lines string) answer {
	b.t.Helper()
	return b.mustScript("bin/update-nginx-locations.sh", lines)
}

// workers are the pids of those that take connections, in the order of /proc.
func (b *box) workers() string {
	b.t.Helper()
	return b.sh(`read -r pid _ </run/openshell-edge/nginx.pid
for child in $(cat "/proc/$pid/task/$pid/children"); do
  grep -q "shutting down" "/proc/$child/cmdline" || echo "$child"
done`)
}

type page struct {
	status int
	header http.Header
	body   string
}

// get asks nginx; header may hold a Host.
func (f *front) get(path string, header http.Header) page {
	f.t.Helper()
	p, err := f.do(http.DefaultClient, http.MethodGet, "http://"+f.address+path, header, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *front) do(client *http.Client, method, url string, header http.Header, body io.Reader) (page, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return page{}, err
	}
	request.Host = "localhost:7100"
	for name, values := range header {
		if name == "Host" {
			request.Host = values[0]
		} else {
			request.Header[name] = values
		}
	}
	response, err := client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return page{response.StatusCode, response.Header, string(data)}, err
}

// echoed is what a service was asked.
type echoed struct {
	URI, Host, From string
	Header          http.Header
	Size            int64
}

func (p page) echo(t *testing.T) echoed {
	t.Helper()
	var e echoed
	if err := json.Unmarshal([]byte(p.body), &e); err != nil || p.status != http.StatusOK {
		t.Fatalf("no answer of the service: %d: %v: %s", p.status, err, p.body)
	}
	return e
}

// named is n lines of services, of which the names begin with prefix.
func named(prefix string, n int) string {
	var lines strings.Builder
	for i := range n {
		lines.WriteString(prefix + "-" + strconv.Itoa(i) + " 172.16.1.2 8888\n")
	}
	return lines.String()
}

// longRun is for a command that works longer than the harness has patience.
func (b *box) longRun(limit time.Duration, script string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "exec", b.id, "bash", "-euo", "pipefail", "-c", script).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			b.t.Logf("stderr: %s", exit.Stderr)
		}
		b.t.Fatalf("script: %v: %v", err, ctx.Err())
	}
	return string(out)
}
