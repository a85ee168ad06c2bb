//go:build e2e

package edge

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// masterOf is the pid of the nginx that was started in the box.
func (b *box) masterOf() string {
	b.t.Helper()
	return strings.Fields(b.sh("cat /run/openshell-edge/nginx.pid"))[0]
}

// vpnSide asks nginx on the VPN's address.
func (b *box) vpnSide(path, host string) result {
	b.t.Helper()
	return b.try("", "timeout", "10", "bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/172.16.0.1/80
printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' >&3
cat <&3`, path, host))
}

func TestNginxIsThereWithAndWithoutTheTunnel(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	master := f.masterOf()
	check := func(when string, tunnel bool) {
		t.Helper()
		if got := f.update(fmt.Sprintf("web 172.16.1.2 8888\n%s 172.16.1.3 9999\n", when)); got.doc["changed"] != true {
			t.Errorf("%s: %v", when, got.doc)
		}
		if got := f.get("/web/", nil); got.status != http.StatusOK {
			t.Errorf("%s: /web answers %d", when, got.status)
		}
		if !tunnel {
			return
		}
		for path, want := range map[string]string{"/collab/ping": "200", "/collab": "200", "/web/": "404", "/": "404"} {
			for host, want := range map[string]string{"172.16.0.1": want, "evil.example": "421"} {
				if got := f.vpnSide(path, host); !strings.HasPrefix(got.stdout, "HTTP/1.1 "+want) {
					t.Errorf("%s: %s of %s on the VPN's side: %s%s, want %s", when, path, host, got.stdout, got.stderr, want)
				}
			}
		}
	}
	check("before", false)
	f.sh("ip tuntap add dev test0 mode tun; ip address add 172.16.0.1/16 dev test0; ip link set test0 up")
	check("with", true)
	f.sh("ip link delete test0")
	check("after", false)
	if got := f.masterOf(); got != master {
		t.Errorf("nginx is process %s, was %s", got, master)
	}
}

func TestNginxResetClearsServicesAndKeepsTheProcess(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	f.sh("echo old >>/logs/nginx.log")
	master := f.masterOf()
	for _, changed := range []bool{true, false} {
		a := f.mustScript("lib/reset-nginx.sh", "")
		if fmt.Sprint(a.doc["pid"]) != master || a.doc["changed"] != changed {
			t.Errorf("the answer is %v, want pid %s, changed %t", a.doc, master, changed)
		}
	}
	if got := f.get("/web", nil).status; got != http.StatusNotFound {
		t.Errorf("/web answers %d after the reset", got)
	}
	if log := f.sh("cat /logs/nginx.log"); log != "" {
		t.Errorf("the log still has %q", log)
	}
}

func TestNginxStopsAndComesBack(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	for _, end := range []string{"", "kill -KILL %s", "kill -TERM %s", "kill -KILL -- -%s"} {
		first := f.masterOf()
		if end == "" {
			for range 2 {
				f.mustScript("lib/stop-nginx.sh", "")
			}
		} else {
			f.sh(fmt.Sprintf(end, first))
		}
		eventually(t, patience, "nginx is gone", func() bool {
			return f.try("", "bash", "-c", "source /app/lib/common.sh; trap - EXIT; recorded /run/openshell-edge/nginx.pid").code != 0
		})
		if a := f.script("bin/update-nginx-locations.sh", "web 172.16.1.2 8888\n"); !strings.Contains(a.Error, "nginx is not running") {
			t.Errorf("%q: an update says %v", end, a)
		}
		// Workers of a killed master still serve, and are not to be in the way.
		a := f.mustScript("lib/reset-nginx.sh", "")
		if fmt.Sprint(a.doc["pid"]) == first {
			t.Errorf("%q: still process %s", end, first)
		}
		if got := f.get("/collab/ping", nil).status; got != http.StatusOK {
			t.Errorf("%q: /collab/ping answers %d", end, got)
		}
		f.update("web 172.16.1.2 8888\n")
	}
	// Nor do they stay when nginx is to stop.
	f.sh("kill -KILL " + f.masterOf())
	f.mustScript("lib/stop-nginx.sh", "")
	left := f.sh(`for process in /proc/[0-9]*; do
  case $(readlink "$process/exe" || true) in */nginx) tr '\0' ' ' <"$process/cmdline" ;; esac
done`)
	if left != "" {
		t.Errorf("left: %s", left)
	}
}

// A pid that now belongs to another process is not nginx.
func TestNginxSparesARecycledPid(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.mustScript("lib/stop-nginx.sh", "")
	f.startInside("exec sleep 1000")
	other := "for process in /proc/[0-9]*; do if [[ $(tr '\\0' ' ' <$process/cmdline) == 'sleep 1000 ' ]]; then echo ${process#/proc/}; fi; done"
	eventually(t, patience, "the other process is there", func() bool { return f.sh(other) != "" })
	f.sh("echo $(" + other + ") 12345 >/run/openshell-edge/nginx.pid")
	if a := f.script("bin/update-nginx-locations.sh", ""); !strings.Contains(a.Error, "nginx is not running") {
		t.Errorf("an update says %v", a)
	}
	f.mustScript("lib/stop-nginx.sh", "")
	f.sh("echo $(" + other + ") 12345 >/run/openshell-edge/nginx.pid")
	f.mustScript("lib/reset-nginx.sh", "")
	if f.sh(other) == "" {
		t.Error("the other process was ended")
	}
}

func TestNginxCarriesWebSocketsThroughUpdates(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	say := map[string]func(string){}
	for place, host := range map[string]string{"/web/ws": "localhost:7100", "/ws": "web.localhost:7100", "/collab/ws": "localhost:7100"} {
		conn := f.dial()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", place, host)
		from := bufio.NewReader(conn)
		response, err := http.ReadResponse(from, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("%s: %v %+v", place, err, response)
		}
		say[place] = func(text string) {
			t.Helper()
			// The mask is zero.
			if _, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil {
				t.Errorf("%s: %v", place, err)
			}
			got := make([]byte, 2+len(text))
			if _, err := io.ReadFull(from, got); err != nil || string(got[2:]) != text {
				t.Errorf("%s: %q, %v, want %q", place, got, err, text)
			}
		}
	}
	for i := range 3 {
		for _, say := range say {
			say(fmt.Sprintf("hello %d", i))
		}
		f.update(fmt.Sprintf("web 172.16.1.2 8888\nother-%d 172.16.1.3 9999\n", i))
	}
	// Probes of the last update may be under way.
	eventually(t, patience, "three WebSockets and this request", func() bool {
		return strings.Contains(f.sh("/opt/echo get /run/openshell-edge/nginx-status.sock /stub_status"), "Writing: 4 ")
	})
}

func TestNginxKeepsSecretsOutOfLogsAndTellsActivity(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\ndown 172.16.1.2 4567\n")
	secret := http.Header{"Authorization": {"Bearer s3cr3t"}, "Referer": {"http://localhost/?s3cr3t"}, "Cookie": {"s3cr3t"}}
	ask := func() {
		for _, path := range []string{"/web/", "/down/x", "/collab/x", "/collab/event", "/collab/ping", "/none/x", "/x%00"} {
			f.get(path+"?token=s3cr3t", secret)
		}
	}
	ask() // while nobody listens
	f.startInside("/opt/echo /run/openshell-edge/activity.sock >/tmp/activity")
	eventually(t, patience, "somebody listens", func() bool { return f.try("", "test", "-S", "/run/openshell-edge/activity.sock").code == 0 })
	count := func(name string) int { return strings.Count(f.sh("cat /tmp/activity"), "nginx: "+name+"\n") }
	eventually(t, patience, "activity arrives", func() bool { ask(); return count("web") > 2 && count("down") > 2 && count("collab") > 2 })
	if all := strings.Count(f.sh("cat /tmp/activity"), "\n"); all != count("web")+count("down")+count("collab") {
		t.Errorf("there is other activity too:\n%s", f.sh("cat /tmp/activity"))
	}
	// Two requests that are activity, seven in all.
	if web, collab := count("web"), count("collab"); collab > web+1 {
		t.Errorf("%d of web and %d of collab: events or pings are counted", web, collab)
	}
	f.sh("cp /tmp/activity /logs/activity.log")
	if out := f.try("", "grep", "-r", "s3cr3t", "/logs/", "/var/log/", "/run/openshell-edge", "/tmp"); out.code != 1 {
		t.Errorf("found: %s%s", out.stdout, out.stderr)
	}
}

func TestNginxServesTLS(t *testing.T) {
	t.Parallel()
	certificate, key, pool := selfSigned(t, "localhost")
	dir := t.TempDir()
	for name, data := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := newFront(t)
	f.copyIn(dir, "/opt/tls")
	f.update("web 172.16.1.2 8888\n")
	tlsEnv := "export GATEWAY_TLS_CERT=/opt/tls/tls.crt GATEWAY_TLS_KEY=/opt/tls/tls.key;"
	f.answerOf(f.try("", "bash", "-c", tlsEnv+"exec /app/lib/reset-nginx.sh"))
	f.answerOf(f.try("web 172.16.1.2 8888\n", "bash", "-c", tlsEnv+"exec /app/bin/update-nginx-locations.sh"))
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p, err := f.do(client, "GET", "https://"+f.address+"/web/x", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.echo(t).Header.Get("X-Forwarded-Proto"); got != "https" {
		t.Errorf("X-Forwarded-Proto is %q", got)
	}
	p, err = f.do(client, "GET", "http://"+f.address+"/web/x?y", nil, nil)
	if err != nil || p.status != http.StatusPermanentRedirect || p.header.Get("Location") != "https://localhost:7100/web/x?y" {
		t.Errorf("plain HTTP: %d %v %v", p.status, p.header, err)
	}
}

// A stream arrives as it is sent, not when it has ended.
func TestNginxPassesStreamsOn(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.update("web 172.16.1.2 8888\n")
	conn := f.dial()
	fmt.Fprint(conn, "GET /web/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || line != "first\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// selfSigned is a certificate of that name and its key, and who believes it.
func selfSigned(t *testing.T, name string) (certificate, key []byte, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der8}), pool
}
