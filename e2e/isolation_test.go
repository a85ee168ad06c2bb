//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
)

// What a sandbox can and cannot reach, tried from inside. Every target that it
// must not reach is shown to be alive from elsewhere first.
func testIsolation(t *testing.T, g *Gateway) {
	a, b := g.sandbox(t, "reach-a"), g.sandbox(t, "reach-b")
	const port = 9999
	b.sh(t, fmt.Sprintf(`cd /tmp && mkdir -p web && echo reached >web/index.html
		setsid python3 -m http.server --directory web %d >/dev/null 2>&1 </dev/null &
		setsid python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", %d))
while True: d, who = s.recvfrom(99); s.sendto(d, who)' >/dev/null 2>&1 </dev/null &
		until exec 3<>/dev/tcp/127.0.0.1/%d; do read -rt 0.1 <> <(:) || :; done`, port, port, port))

	outside := newListener(t, g)
	node := g.Inspect(t, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	apiService := a.kubectl(t, "get", "service", "--namespace", "default", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	server := g.Kubectl(t, "get", "pod", "--namespace", "openshell", "openshell-0", "-o", "jsonpath={.status.podIP}")

	for _, tt := range []struct {
		what, host string
		port       int
		reached    bool
	}{
		{"the outside", outside.host, outside.port, true},
		{"the gateway's Service", "openshell.openshell.svc.cluster.local", 8080, true},
		{"itself", "127.0.0.1", 2222, true},
		{"another sandbox", b.ip(t), port, false},
		{"the supervisor of another sandbox", b.ip(t), 2222, false},
		{"the Kubernetes API by its Service", apiService, 443, false},
		{"the Kubernetes API on the node", node, 6443, false},
		{"the kubelet", node, 10250, false},
		{"the probe port of the server", server, 8081, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if !tt.reached && !strings.HasPrefix(tt.what, "the probe") {
				alive := g.CLI(t, "gateway", "exec", "--", "bash", "-c", probe(tt.host, tt.port))
				if alive.Code != 0 {
					t.Fatalf("%s:%d is not reached from the node either: %s", tt.host, tt.port, alive)
				}
			}
			r := a.exec(t, "bash", "-c", probe(tt.host, tt.port))
			if reached := r.Code == 0; reached != tt.reached {
				t.Errorf("%s:%d reached: %t\n%s", tt.host, tt.port, reached, r)
			}
		})
	}
	t.Run("another sandbox by udp", func(t *testing.T) {
		const ask = `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
s.sendto(b"ping", (sys.argv[1], %d)); print(s.recv(99))`
		if r := b.exec(t, "python3", "-c", fmt.Sprintf(ask, port), b.ip(t)); r.Code != 0 {
			t.Fatalf("it does not reach itself: %s", r)
		}
		if r := a.exec(t, "python3", "-c", fmt.Sprintf(ask, port), b.ip(t)); r.Code == 0 {
			t.Errorf("reached: %s", r)
		}
	})
	t.Run("names are resolved", func(t *testing.T) {
		a.sh(t, "getent hosts openshell.openshell.svc.cluster.local")
	})
	t.Run("no neighbour by IPv6", func(t *testing.T) {
		if r := a.exec(t, "sh", "-c", "cat /proc/net/if_inet6 | grep -v ' lo$' | cut -c1-32 | head -1"); r.Stdout != "" {
			address := b.sh(t, "grep -v ' lo$' /proc/net/if_inet6 | head -1 | sed -E 's/^(....)(....)(....)(....)(....)(....)(....)(....).*/\\1:\\2:\\3:\\4:\\5:\\6:\\7:\\8/'")
			if r := a.exec(t, "bash", "-c", probe(address+"%eth0", port)); r.Code == 0 {
				t.Errorf("reached: %s", r)
			}
		}
	})
	t.Run("nothing of Kubernetes inside", func(t *testing.T) {
		a.sh(t, `test ! -e /var/run/secrets/kubernetes.io
			! env | grep -i kubernetes
			grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status
			grep -q '^CapEff:[[:space:]]*0000000000000000$' /proc/self/status
			grep -q '^Seccomp:[[:space:]]*2$' /proc/self/status
			test "$(id -u)" = 1000
			test "$(id -G)" = 1000`)
	})
}

// testPreface knocks at a supervisor without its key, from where the gateway
// does. It answers no SSH.
func testPreface(t *testing.T, g *Gateway) {
	b := g.sandbox(t, "preface")
	ask := func(t *testing.T, preface string) string {
		return strings.TrimSpace(g.CLI(t, "gateway", "exec", "--", "bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/%s/2222; printf %s >&3 || true; { timeout 10 cat <&3 || true; } | head -c 64 | tr -cd '[:print:]'`, b.ip(t), preface)).Exits(t, 0).Stdout)
	}
	mac := strings.Repeat("0", 64)
	for name, preface := range map[string]string{
		"a wrong code": fmt.Sprintf(`"NSSH1 gateway $(date +%%s) nonce %s\n"`, mac),
		"a stale one":  fmt.Sprintf(`"NSSH1 gateway 1 nonce %s\n"`, mac),
		"SSH at once":  `"SSH-2.0-OpenSSH_9\r\n"`,
		"too long":     `"%04000d"`,
		"binary":       `"\001\377\376\n"`,
		"only a part":  `"NSSH1 gate"`, // and then nothing
	} {
		t.Run(name, func(t *testing.T) {
			if said := ask(t, preface); said != "" && said != "ERR" {
				t.Errorf("the supervisor says %q", said)
			}
		})
	}
	b.sh(t, "true") // it still lets the gateway in
}

// probe is a shell command that connects by TCP, or fails within seconds.
func probe(host string, port int) string {
	return fmt.Sprintf("timeout 3 bash -c 'exec 3<>/dev/tcp/%s/%d'", host, port)
}

type listener struct {
	host string
	port int
}

// newListener listens on the host's address in the gateway's network.
func newListener(t *testing.T, g *Gateway) listener {
	t.Helper()
	host := g.Inspect(t, "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return listener{host, n}
}
