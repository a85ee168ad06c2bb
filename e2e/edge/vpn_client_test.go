//go:build e2e

package edge

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge/client"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

const (
	probe      = "/opt/openshell/release/bin/vpnprobe"
	appGateway = "/opt/gateway/current/bin/app-gateway"
)

// buildProbe puts the probe where the boxes find it.
func buildProbe(t *testing.T) {
	t.Helper()
	program(t, filepath.Base(probe), "vpnprobe", "")
}

// newNetwork makes a network of Docker that ends with the test.
func newNetwork(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("openshell-edge-%d-%d", os.Getpid(), time.Now().UnixNano())
	if out, err := exec.Command("docker", "network", "create", "--label", "openshell.ai/test=edge", name).CombinedOutput(); err != nil {
		t.Fatalf("docker network create: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("docker", "network", "rm", name).Run() })
	return name
}

// probeInBackground starts a probe that goes on.
func (b *box) probeInBackground(argv string) {
	b.t.Helper()
	b.sh(probe + argv + ` </dev/null >>/run/background.log 2>&1 &`)
}

// vpnStatus is what app-gateway says of the VPN.
func (b *box) vpnStatus() (status edgeapi.VPN) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.sh(appGateway+" vpn status")), &status); err != nil {
		b.t.Fatal(err)
	}
	return status
}

func (b *box) connected(name string) bool {
	b.t.Helper()
	for _, c := range b.vpnStatus().Clients {
		if c.Name == name {
			return c.Connected
		}
	}
	return false
}

// addClient registers a container and answers its package.
func (b *box) addClient(name string, flags ...string) (p client.Package, data string) {
	b.t.Helper()
	r := b.try("", append([]string{appGateway, "vpn", "client", "add", name, "--remote", "gateway"}, flags...)...)
	if r.code != 0 {
		b.t.Fatalf("vpn client add: %s", r.stderr)
	}
	p, err := client.ParsePackage([]byte(r.stdout))
	if err != nil {
		b.t.Fatal(err)
	}
	return p, r.stdout
}

// join starts the agent in a box, as process $(cat /run/agent.pid).
func (b *box) join(data string) {
	b.t.Helper()
	if r := b.try(data, "sh", "-c", "umask 077; cat >/run/package.json"); r.code != 0 {
		b.t.Fatal(r.stderr)
	}
	b.sh(appGateway + ` client run --verbose /run/package.json </dev/null >>/run/agent.log 2>&1 &
echo $! >/run/agent.pid`)
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("log of the agent:\n%s", b.try("", "tail", "-n", "40", "/run/agent.log").stdout)
		}
	})
}

func (b *box) probeDial(network, address string, source ...string) string {
	b.t.Helper()
	return strings.TrimSpace(b.sh(strings.Join(append([]string{probe, "dial", network, address}, source...), " ")))
}

func (b *box) eth0() string {
	b.t.Helper()
	return strings.TrimSpace(b.sh(`ip -j -4 address show dev eth0 | jq -r '.[0].addr_info[0].local'`))
}

func TestVPNClients(t *testing.T) {
	t.Parallel()
	buildProbe(t)
	net := newNetwork(t)
	gateway := newBox(t, "--network", net, "--network-alias", "gateway", "--sysctl", "net.ipv4.ip_forward=1")
	one, two := newBox(t, "--network", net), newBox(t, "--network", net)

	// All that may be behind a gateway: its own servers on every address, one on
	// loopback, and a port that kube-proxy would lead elsewhere.
	gateway.probeInBackground(" serve /run/requests 0.0.0.0:80 0.0.0.0:7100 0.0.0.0:6443 0.0.0.0:10250 127.0.0.1:8888")
	gateway.probeInBackground(" echo 0.0.0.0:53")
	two.probeInBackground(" serve /run/requests 0.0.0.0:80 0.0.0.0:8080")
	one.probeInBackground(" serve /run/requests 0.0.0.0:8080")
	gateway.sh(fmt.Sprintf(`nft -f - <<'END'
table ip nodeport {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		tcp dport 30080 dnat to %s:8080
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname "eth0" masquerade
	}
}
END`, two.eth0()))
	gateway.vpn(startVPN)

	first, firstData := gateway.addClient("one", "--service", "web:8080")
	second, secondData := gateway.addClient("two")
	if first.Address == second.Address {
		t.Fatalf("both have %s", first.Address)
	}
	one.join(firstData)
	two.join(secondData)
	eventually(t, patience, "both are connected", func() bool { return gateway.connected("one") && gateway.connected("two") })

	t.Run("assigned address", func(t *testing.T) {
		for b, p := range map[*box]client.Package{one: first, two: second} {
			if got := b.sh(`ip -4 -o address show dev tun0`); !strings.Contains(got, p.Address.String()+"/16") {
				t.Errorf("%s has %s, want %s", p.Name, got, p.Address)
			}
			var answer struct{ Remote string }
			if err := json.Unmarshal([]byte(b.sh(probe+" get http://172.16.0.1/who")), &answer); err != nil || answer.Remote != p.Address.String() {
				t.Errorf("the gateway sees %s as %s, want %s: %v", p.Name, answer.Remote, p.Address, err)
			}
		}
	})
	t.Run("nothing else", func(t *testing.T) {
		// What is refused below is there: it answers from where it may.
		// The client's OpenVPN itself sends nothing to where the tunnel ends.
		const otherIP = "198.51.100.9"
		gateway.sh(`ip address add ` + otherIP + `/32 dev lo`)
		two.sh(`ip route add ` + otherIP + `/32 via ` + gateway.eth0())
		if got := two.probeDial("tcp", otherIP+":6443"); got != "open" {
			t.Fatalf("from the network of Docker, port 6443 is %s", got)
		}
		if got := gateway.probeDial("udp", "172.16.0.1:53"); got != "open" {
			t.Fatalf("on the gateway, port 53 is %s", got)
		}
		// Whatever comes from the client's address takes the tunnel.
		one.sh(`ip rule add from ` + first.Address.String() + ` table 7; ip route add default via 172.16.0.1 dev tun0 table 7`)
		tun := func(address string) string { return one.probeDial("tcp", address, first.Address.String()) }
		for _, try := range []struct{ what, address string }{
			{"nginx of the host", "172.16.0.1:7100"},
			{"API server", "172.16.0.1:6443"},
			{"kubelet", "172.16.0.1:10250"},
			{"app-gateway", "172.16.0.1:8888"},
			{"SSH", "172.16.0.1:22"},
			{"NodePort", "172.16.0.1:30080"},
			{"pod", "10.42.0.10:80"},
			{"Internet", "198.51.100.7:80"},
			{"other client", second.Address.String() + ":80"},
			{"service of the other client", second.Address.String() + ":8080"},
			{"next address of the VPN", "172.16.0.2:80"},
			{"nginx at another address of the gateway", otherIP + ":80"},
			{"API server at another address of the gateway", otherIP + ":6443"},
			{"beside the gateway", two.eth0() + ":8080"},
		} {
			if got := tun(try.address); got != "refused" {
				t.Errorf("%s (%s) is %s", try.what, try.address, got)
			}
		}
		if got := one.probeDial("udp", "172.16.0.1:53"); got != "refused" {
			t.Errorf("DNS of the gateway is %s", got)
		}
	})
	t.Run("not as another", func(t *testing.T) {
		one.sh(`ip address add 172.16.7.7/16 dev tun0; ip address add ` + second.Address.String() + `/32 dev tun0 || true`)
		for _, source := range []string{"172.16.7.7", second.Address.String()} {
			if got := one.probeDial("tcp", "172.16.0.1:80", source); got == "open" {
				t.Errorf("the gateway takes a connection from %s", source)
			}
		}
		one.sh(`ip address del 172.16.7.7/16 dev tun0; ip address del ` + second.Address.String() + `/32 dev tun0`)
	})
	t.Run("the gateway reaches services", func(t *testing.T) {
		if got := gateway.probeDial("tcp", first.Address.String()+":8080"); got != "open" {
			t.Errorf("service of the first client is %s", got)
		}
		// Others of the gateway's networks do not.
		two.sh(`ip route add 172.16.99.0/24 via ` + gateway.eth0() + ` dev eth0`)
		stranger := newBox(t, "--network", net)
		stranger.sh(`ip route add 172.16.0.0/16 via ` + gateway.eth0())
		if got := stranger.probeDial("tcp", first.Address.String()+":8080"); got != "refused" {
			t.Errorf("from beside the gateway, the client's service is %s", got)
		}
	})
	t.Run("events", func(t *testing.T) {
		var events []edgeapi.Event
		eventually(t, patience, "the agent reports", func() bool {
			events = events[:0]
			for line := range strings.SplitSeq(strings.TrimSpace(gateway.sh("cat /run/requests")), "\n") {
				var r struct {
					Path, Remote, Authorization string
					Body                        edgeapi.Event
				}
				if json.Unmarshal([]byte(line), &r) == nil && r.Path == edgeapi.EventPath && r.Body.Container == first.ID {
					if r.Remote != first.Address.String() || r.Authorization != "Bearer "+first.Token {
						t.Fatalf("event from %s with authorization %q", r.Remote, r.Authorization)
					}
					events = append(events, r.Body)
				}
			}
			return len(events) >= 2
		})
		want := []edgeapi.Event{
			{Type: edgeapi.EventWatchdog, Container: first.ID},
			{Type: edgeapi.EventMapHTTPService, Container: first.ID, Host: "web", Port: 8080},
		}
		if diff := cmp.Diff(want, events[:2]); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
	t.Run("reconnects with the keys it had", func(t *testing.T) {
		gateway.vpn(stopVPN)
		gateway.vpnGone()
		if status := gateway.vpnStatus(); status.State != edgeapi.VPNDown {
			t.Errorf("state %s", status.State)
		}
		gateway.vpn(startVPN)
		began := time.Now()
		eventually(t, patience, "both are connected again", func() bool { return gateway.connected("one") && gateway.connected("two") })
		eventually(t, patience, "the gateway answers", func() bool { return one.probeDial("tcp", "172.16.0.1:80") == "open" })
		t.Logf("connected again after %s", time.Since(began).Round(time.Millisecond))
	})
	t.Run("reconnects when the server was killed", func(t *testing.T) {
		gateway.sh(`read -r pid _ </run/openshell-edge/openvpn.pid; kill -9 "$pid"`)
		eventually(t, patience, "it is gone", func() bool { return gateway.openvpns() == "0" })
		gateway.vpn(startVPN)
		began := time.Now()
		eventually(t, patience, "the client is connected again", func() bool { return gateway.connected("one") })
		t.Logf("connected again after %s", time.Since(began).Round(time.Millisecond))
	})
	t.Run("wrong token", func(t *testing.T) {
		eventually(t, patience, "the other is connected", func() bool { return gateway.connected("two") })
		joined := two.sh(`grep -c 'joined the VPN' /run/agent.log`)
		forged := second
		forged.Token = strings.Repeat("A", len(second.Token))
		data, err := json.Marshal(forged)
		if err != nil {
			t.Fatal(err)
		}
		stranger := newBox(t, "--network", net)
		stranger.join(string(data))
		eventually(t, patience, "it is told so", func() bool {
			return strings.Contains(stranger.sh("cat /run/agent.log"), "the gateway refuses this container")
		})
		if got := stranger.sh(`ls /sys/class/net`); strings.Contains(got, "tun") {
			t.Errorf("it has a tunnel: %s", got)
		}
		if got := two.sh(`grep -c 'joined the VPN' /run/agent.log`); got != joined || !gateway.connected("two") {
			t.Error("the container whose id it took lost its connection")
		}
	})
	t.Run("rotated token", func(t *testing.T) {
		r := gateway.try("", appGateway, "vpn", "client", "config", "two", "--remote", "gateway")
		renewed, err := client.ParsePackage([]byte(r.stdout))
		if err != nil || renewed.Token == second.Token || renewed.Address != second.Address || !strings.Contains(r.stderr, "new token") {
			t.Fatalf("config: %v; stderr %s", err, r.stderr)
		}
		eventually(t, patience, "the old token ends", func() bool {
			return strings.Contains(two.sh("cat /run/agent.log"), "the gateway refuses this container")
		})
		two.sh(`kill "$(cat /run/agent.pid)"`)
		two.join(r.stdout)
		eventually(t, patience, "the new one counts", func() bool { return gateway.connected("two") })
	})
	t.Run("removed", func(t *testing.T) {
		gateway.sh(appGateway + " vpn client rm one")
		if gateway.connected("one") || gateway.probeDial("tcp", first.Address.String()+":8080") == "open" {
			t.Error("it is connected still")
		}
		eventually(t, patience, "it is refused", func() bool {
			return strings.Contains(one.sh("cat /run/agent.log"), "the gateway refuses this container")
		})
		if list := gateway.sh(appGateway + " vpn client list"); strings.Contains(list, first.ID) || !strings.Contains(list, second.ID) {
			t.Errorf("list: %s", list)
		}
	})
	t.Run("the agent ends cleanly", func(t *testing.T) {
		two.sh(`kill "$(cat /run/agent.pid)"`)
		eventually(t, patience, "nothing is left", func() bool {
			return two.openvpns() == "0" && two.sh("ls /dev/shm") == "" && two.try("", "sh", "-c", `kill -0 "$(cat /run/agent.pid)"`).code != 0
		})
		eventually(t, patience, "the gateway knows", func() bool { return !gateway.connected("two") })
	})
	t.Run("OpenVPN ends with a killed agent", func(t *testing.T) {
		one.sh(`kill -9 "$(cat /run/agent.pid)"`)
		eventually(t, patience, "it ends", func() bool { return one.openvpns() == "0" })
	})
	t.Run("secrets", func(t *testing.T) {
		for _, b := range []*box{gateway, one, two} {
			for _, secret := range []string{first.Token, second.Token} {
				if found := b.try(secret, "sh", "-c", `grep -lrFf - /logs /run/agent.log /run/background.log /proc/[0-9]*/cmdline 2>/dev/null`); found.stdout != "" {
					t.Errorf("a token is in:\n%s", found.stdout)
				}
			}
		}
	})
}
