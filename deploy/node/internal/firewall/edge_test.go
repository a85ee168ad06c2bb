package firewall

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vpnRules are those that the edge's scripts apply beside ours.
const vpnRules = "../../../gateway/app/lib/vpn.nft"

// A pod and a client of the VPN, each a network namespace, and the node between
// them, through which nginx reaches both.
func TestPodsAndVPNClientsDoNotReachEachOther(t *testing.T) {
	if os.Getenv("FIREWALL_TEST_NETNS") == "" {
		for _, tool := range []string{"nft", "ip"} {
			if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
				t.Skipf("needs root and %s", tool)
			}
		}
		again := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), "FIREWALL_TEST_NETNS=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		return
	}
	sh(t, `mount -t tmpfs tmpfs /run
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
for end in pod:veth0:10.2.0.1/32:10.2.0.5/20 client:tun0:172.16.0.1/16:172.16.1.1/16; do
  IFS=: read -r name link ours theirs <<<"$end"
  ip netns add "$name"
  ip link add "$link" type veth peer name eth0 netns "$name"
  ip address add "$ours" dev "$link"
  ip link set "$link" up
  ip -n "$name" link set lo up
  ip -n "$name" address add "$theirs" dev eth0
  ip -n "$name" link set eth0 up
done
ip route add 10.2.0.5/32 dev veth0
ip -n pod route add default via 10.2.0.1 dev eth0 onlink
ip -n client route add default via 172.16.0.1`)
	const pod, client, web, vpnWeb = "10.2.0.5:8000", "172.16.1.1:8000", "10.2.0.1:7100", "172.16.0.1:80"
	serve(t, "pod", pod)
	serve(t, "client", client)
	serve(t, "", web)
	serve(t, "", vpnWeb)

	reach := func(title string, cases map[[2]string]bool) {
		for way, want := range cases {
			err := dial(way[0], way[1])
			if (err == nil) != want {
				t.Errorf("%s: from %q to %s: %v", title, way[0], way[1], err)
			}
			var slow net.Error
			if errors.As(err, &slow) && slow.Timeout() {
				t.Errorf("%s: from %q to %s: it waits for an answer", title, way[0], way[1])
			}
		}
	}
	reach("without rules", map[[2]string]bool{
		{"pod", client}: true, {"client", pod}: true, {"pod", web}: true, {"pod", vpnWeb}: true, {"client", web}: true, {"client", vpnWeb}: true, {"", pod}: true, {"", client}: true,
	})
	if err := Apply(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	reach("with our rules", map[[2]string]bool{
		{"pod", client}: false, {"client", pod}: false, {"pod", web}: false, {"pod", vpnWeb}: false, {"client", vpnWeb}: true, {"", pod}: true, {"", client}: true,
	})
	path, err := filepath.Abs(vpnRules)
	if err != nil {
		t.Fatal(err)
	}
	both := map[[2]string]bool{
		{"pod", client}: false, {"client", pod}: false, {"pod", web}: false, {"pod", vpnWeb}: false, {"client", web}: false, {"client", vpnWeb}: true, {"", pod}: true, {"", client}: true,
	}
	sh(t, "nft -f "+path)
	reach("with both", both)
	if err := Apply(t.Context(), node); err != nil { // at a later boot it may come second
		t.Fatal(err)
	}
	reach("with both, the other way round", both)
}

func sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "bash", "-euc", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// within runs f in a network namespace; "" is the node's. The thread that was
// there ends.
func within(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		file, err := os.Open("/run/netns/" + namespace)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func serve(t *testing.T, namespace, address string) {
	t.Helper()
	err := within(namespace, func() error {
		listener, err := net.Listen("tcp4", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		return nil
	})
	if err != nil && !strings.Contains(err.Error(), "use of closed") {
		t.Fatalf("%s in %q: %v", address, namespace, err)
	}
}

func dial(namespace, address string) error {
	return within(namespace, func() error {
		conn, err := net.DialTimeout("tcp4", address, 2*time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	})
}
