package vpn

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"openshell.ai/openshell/pkg/edge/containers"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

var addresses = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

// rig is a gateway's directories with one container.
type rig struct {
	t          *testing.T
	state, run string
	hooks      Hooks
	container  containers.Container
	token      string
}

func newRig(t *testing.T) rig {
	t.Helper()
	r := rig{t: t, state: t.TempDir(), run: t.TempDir()}
	r.hooks = HooksOf(r.state, r.run)
	var err error
	r.container, r.token, err = r.hooks.Registry.Add(t.Context(), "web", edgeapi.KindContainer, []containers.Service{{Host: "site", Port: 8080}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r rig) file(content string) string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func environment(id, port string) Environment {
	values := map[string]string{"common_name": id, "trusted_ip": "192.0.2.7", "trusted_port": port, "time_unix": "1700000000"}
	return func(name string) string { return values[name] }
}

func TestAuth(t *testing.T) {
	r := newRig(t)
	for name, try := range map[string]struct {
		content string
		ok      bool
	}{
		"right":         {r.container.ID + "\n" + r.token + "\n", true},
		"no last line":  {r.container.ID + "\n" + r.token, true},
		"wrong token":   {r.container.ID + "\n" + r.token + "x\n", false},
		"name":          {"web\n" + r.token + "\n", false},
		"empty":         {"", false},
		"one line":      {r.container.ID + "\n", false},
		"three lines":   {r.container.ID + "\n" + r.token + "\nx\n", false},
		"no token":      {r.container.ID + "\n\n", false},
		"far too long":  {r.container.ID + "\n" + strings.Repeat("x", 1<<20), false},
		"no id at all":  {"../../x\n" + r.token + "\n", false},
		"other's bytes": {"\x00\xff\n\x1b\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.hooks.Auth(r.file(try.content))
			if (err == nil) != try.ok {
				t.Error(err)
			}
			if err != nil && strings.Contains(err.Error(), r.token) {
				t.Error("the error has the token")
			}
		})
	}
	if err := r.hooks.Auth(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

func TestConnectAndDisconnect(t *testing.T) {
	r := newRig(t)
	file := r.file("")
	if err := r.hooks.Connect(file, environment(r.container.ID, "1111")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "ifconfig-push 172.16.1.1 255.255.0.0\n" {
		t.Errorf("pushed %q, %v", data, err)
	}
	want := map[string]Client{r.container.ID: {r.container.ID, "web", r.container.Address, netip.MustParseAddrPort("192.0.2.7:1111"), time.Unix(1700000000, 0).UTC()}}
	got, err := r.hooks.Live.List()
	if diff := cmp.Diff(want, got, addresses); err != nil || diff != "" {
		t.Errorf("live (-want +got): %v\n%s", err, diff)
	}
	// It connects anew before OpenVPN notices that the old connection is gone.
	if err := r.hooks.Connect(file, environment(r.container.ID, "2222")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		port string
		left int
	}{{"1111", 1}, {"2222", 0}, {"2222", 0}} {
		if err := r.hooks.Disconnect(environment(r.container.ID, step.port)); err != nil {
			t.Error(err)
		}
		if got, err := r.hooks.Live.List(); err != nil || len(got) != step.left {
			t.Errorf("after the one of port %s: %v, %v", step.port, got, err)
		}
	}
}

func TestConnectRefuses(t *testing.T) {
	r := newRig(t)
	for name, env := range map[string]Environment{
		"unknown":     environment("0123456789abcdef", "1"),
		"name":        environment("web", "1"),
		"path":        environment("../../etc/passwd", "1"),
		"bad port":    environment(r.container.ID, "70000"),
		"nothing":     func(string) string { return "" },
		"bad address": func(n string) string { return map[string]string{"common_name": r.container.ID, "trusted_ip": "x"}[n] },
	} {
		file := r.file("")
		if err := r.hooks.Connect(file, env); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if data, _ := os.ReadFile(file); len(data) > 0 {
			t.Errorf("%s gets %q", name, data)
		}
	}
	if live, err := r.hooks.Live.List(); err != nil || len(live) != 0 {
		t.Errorf("%v, %v", live, err)
	}
}

func TestStatusOfNoVPN(t *testing.T) {
	r := newRig(t)
	want := edgeapi.VPN{State: edgeapi.VPNDown, Clients: []edgeapi.VPNClient{{
		ID: r.container.ID, Name: "web", Kind: edgeapi.KindContainer, Address: r.container.Address, Services: []edgeapi.VPNService{{Host: "site", Port: 8080}}}}}
	got, err := Status(r.run, r.hooks.Registry)
	if diff := cmp.Diff(want, got, addresses); err != nil || diff != "" {
		t.Errorf("status (-want +got): %v\n%s", err, diff)
	}
	if err := os.WriteFile(filepath.Join(r.state, "containers.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Status(r.run, r.hooks.Registry); !errors.Is(err, containers.ErrDamaged) {
		t.Errorf("with a damaged registry: %v", err)
	}
}

// daemon answers on a management socket as OpenVPN does.
func (r rig) daemon(answers map[string]string) (asked chan string) {
	r.t.Helper()
	dir, err := os.MkdirTemp("", "ovpn-") // a socket's path is short
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.MkdirAll(filepath.Join(r.run, "vpn"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.run, "vpn", "server.json"), fmt.Appendf(nil, `{"temp_dir":%q,"port":49100}`, dir), 0o600); err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "management.sock"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	asked = make(chan string, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, ">INFO:OpenVPN Management Interface Version 5\r\n")
			line, _ := bufio.NewReader(conn).ReadString('\n')
			asked <- strings.TrimSpace(line)
			fmt.Fprint(conn, answers[strings.TrimSpace(line)])
			conn.Close()
		}
	}()
	return asked
}

func TestReady(t *testing.T) {
	for answer, ok := range map[string]bool{
		"1700000000,CONNECTED,SUCCESS,172.16.0.1,,,,\r\nEND\r\n":             true,
		">STATE:x\r\n1700000000,CONNECTED,SUCCESS,172.16.0.1,,,,\r\nEND\r\n": true,
		"1700000000,ASSIGN_IP,,172.16.0.1,,,,\r\nEND\r\n":                    false,
		"1700000000,CONNECTED,ERROR,172.16.0.1,,,,\r\nEND\r\n":               false,
		"1700000000,CONNECTED,SUCCESS,172.16.0.1,,,,\r\n":                    false,
		"":        false,
		"END\r\n": false,
		strings.Repeat("x", 2*maxManagement) + "\r\nEND\r\n":                 false,
		strings.Repeat("1,CONNECTED,SUCCESS\r\n", maxManagement) + "END\r\n": false,
	} {
		r := newRig(t)
		r.daemon(map[string]string{"state": answer})
		server, err := ServerIn(r.run)
		if err != nil || server.Port != 49100 {
			t.Fatal(server, err)
		}
		if err := Ready(t.Context(), filepath.Join(server.TempDir, "management.sock")); (err == nil) != ok {
			t.Errorf("%.60q: %v", answer, err)
		}
	}
}

func TestDisconnectKillsTheClient(t *testing.T) {
	r := newRig(t)
	if err := Disconnect(t.Context(), r.run, r.container.ID); err != nil {
		t.Errorf("without a server: %v", err)
	}
	command := "kill " + r.container.ID
	for answer, ok := range map[string]bool{
		"SUCCESS: common name '" + r.container.ID + "' found, 1 client(s) killed\r\n": true,
		"ERROR: common name '" + r.container.ID + "' not found\r\n":                   true,
		"ERROR: unknown command\r\n":                                                  false,
		"":                                                                            false,
	} {
		asked := r.daemon(map[string]string{command: answer})
		if err := Disconnect(t.Context(), r.run, r.container.ID); (err == nil) != ok {
			t.Errorf("%q: %v", answer, err)
		}
		if got := <-asked; got != command {
			t.Errorf("asked %q", got)
		}
	}
	if err := Disconnect(t.Context(), r.run, "x\nsignal SIGTERM"); err == nil {
		t.Error("a command instead of an id is accepted")
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add("0123456789abcdef\ntoken\n")
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		user, password, err := readCredentials(strings.NewReader(text))
		if err == nil && (user == "" || password == "" || strings.ContainsAny(user+password, "\n")) {
			t.Fatalf("%q and %q", user, password)
		}
	})
}

func FuzzClientFile(f *testing.F) {
	f.Add("0123456789abcdef", []byte(`{"id":"0123456789abcdef","name":"web","address":"172.16.1.1","remote":"192.0.2.1:1","since":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, id string, data []byte) {
		if c, err := decodeClient(id, data); err == nil && (c.ID != id || !c.Address.IsValid()) {
			t.Fatalf("%+v", c)
		}
	})
}

func FuzzPeer(f *testing.F) {
	f.Add("0123456789abcdef", "192.0.2.1", "1", "1700000000")
	f.Fuzz(func(t *testing.T, name, ip, port, since string) {
		values := map[string]string{"common_name": name, "trusted_ip": ip, "trusted_port": port, "time_unix": since}
		p, err := peerOf(func(name string) string { return values[name] })
		if err == nil && (containers.CheckID(p.id) != nil || !p.remote.IsValid()) {
			t.Fatalf("%+v", p)
		}
	})
}

func TestBoundLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "openvpn.log")
	if err := BoundLog(path, 10); err != nil {
		t.Errorf("without a log: %v", err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, step := range []struct{ add, log, old string }{
		{"0123456789", "0123456789", ""},
		{"x", "", "0123456789x"},
		{"later", "later", "0123456789x"},
	} {
		if _, err := log.WriteString(step.add); err != nil {
			t.Fatal(err)
		}
		if err := BoundLog(path, 10); err != nil {
			t.Fatal(err)
		}
		now, _ := os.ReadFile(path)
		old, _ := os.ReadFile(path + ".1")
		if string(now) != step.log || string(old) != step.old {
			t.Errorf("after %q: log %q, before it %q", step.add, now, old)
		}
	}
}
