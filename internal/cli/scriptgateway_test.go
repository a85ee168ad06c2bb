//go:build !windows

package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/gatewayclient/gatewaytest"
)

// gatewaysKey finds the gateways of a script.
type gatewaysKey struct{}

func gatewaysOf(ts *testscript.TestScript) map[string]*gatewaytest.Gateway {
	return ts.Value(gatewaysKey{}).(map[string]*gatewaytest.Gateway)
}

// setUpGateways gives a script its gateways, which end with it.
func setUpGateways(env *testscript.Env) {
	gateways := map[string]*gatewaytest.Gateway{}
	env.Values[gatewaysKey{}] = gateways
	env.Defer(func() {
		for _, g := range gateways {
			g.Stop()
		}
	})
}

// runGateway is a gateway of a script: gateway start NAME [CONFIG-HOME], gateway
// stop NAME. A second start is on the same port. $HTTP_PORT is that of its web
// server.
func runGateway(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: gateway start|stop NAME [CONFIG-HOME]")
	}
	all, name := gatewaysOf(ts), args[1]
	if args[0] == "stop" {
		all[name].Stop()
		return
	}
	g := all[name]
	if g == nil {
		var err error
		g, err = gatewaytest.New(gateway.Name(name), ts.MkAbs("sandboxes-"+name))
		ts.Check(err)
		all[name] = g
	}
	ts.Check(g.Start())
	if text := ts.Getenv("HTTP_PORT"); text != "" {
		port, err := strconv.Atoi(text)
		ts.Check(err)
		g.SetHTTPPort(port)
	}
	home := ts.Getenv("XDG_CONFIG_HOME")
	if len(args) == 3 {
		home = ts.MkAbs(args[2])
	}
	ts.Check(g.WriteFiles(home))
	ts.Setenv("ENDPOINT", g.Endpoint())
}

// sandbox looks behind the gateway: sandbox NAME [GATEWAY] fails if there is
// none, and sets $ID, $BOX, the directory of its workspace, and $KEY, its fingerprint.
func lookAtSandbox(ts *testscript.TestScript, neg bool, args []string) {
	on := "openshell"
	if len(args) == 2 {
		on = args[1]
	}
	s := gatewaysOf(ts)[on].Sandbox(args[0])
	if (s == nil) != neg {
		ts.Fatalf("sandbox %s: %v", args[0], s)
	}
	if s != nil {
		ts.Setenv("ID", s.ID())
		ts.Setenv("BOX", s.Dir())
		ts.Setenv("KEY", s.Fingerprint())
	}
}

// routed has the web server of the fake node fare so with a port of the sandbox
// $ID: routed HOST PORT STATE [MESSAGE].
func setRoute(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: routed HOST PORT STATE [MESSAGE]")
	}
	port, err := strconv.ParseUint(args[1], 10, 16)
	ts.Check(err)
	route := edgeapi.Route{Host: args[0], Kind: edgeapi.KindSandbox, OwnerID: ts.Getenv("ID"), Port: uint16(port), State: args[2], Message: strings.Join(args[3:], " ")}
	fake, err := json.Marshal(map[string]any{"routed": map[string]any{"routes": []edgeapi.Route{route}}})
	ts.Check(err)
	path := ts.MkAbs("routed.json")
	ts.Check(os.WriteFile(path, fake, 0o600))
	ts.Setenv("FAKE", path)
}

// sessions counts what is open: sessions N [GATEWAY].
func countSessions(ts *testscript.TestScript, neg bool, args []string) {
	on := "openshell"
	if len(args) == 2 {
		on = args[1]
	}
	if n := strconv.Itoa(gatewaysOf(ts)[on].Tokens()); (n == args[0]) == neg {
		ts.Fatalf("%s sessions", n)
	}
}

// eventually runs a command until it succeeds and its output contains a word:
// eventually WORD COMMAND ARG...
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually WORD COMMAND [ARG...]")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if err == nil && strings.Contains(out, args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never %q: %v\n%s", args[0], err, out)
		}
	}
}

// signalled runs a command until its output contains WORD, sends it signals some time apart, and checks its exit code:
// signalled CODE WORD SIGNALS COMMAND ARG...; SIGNALS are such as INT,INT.
func signalled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: signalled CODE WORD SIGNALS COMMAND [ARG...]")
	}
	path, err := exec.LookPath(args[3])
	ts.Check(err)
	out, err := os.CreateTemp(ts.Getenv("WORK"), "signalled-*")
	ts.Check(err)
	defer out.Close()
	cmd := exec.Command(path, args[4:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+ts.Getenv("XDG_CONFIG_HOME"))
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	content := func() string {
		data, err := os.ReadFile(out.Name())
		ts.Check(err)
		return string(data)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(content(), args[1]); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			ts.Fatalf("never %q:\n%s", args[1], content())
		}
	}
	for i, name := range strings.Split(args[2], ",") {
		if i > 0 {
			time.Sleep(100 * time.Millisecond)
		}
		ts.Check(cmd.Process.Signal(map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM}[name]))
	}
	code := "0"
	if err := cmd.Wait(); err != nil {
		code = exitOf(err)
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "said"), []byte(content()), 0o600))
	if code != args[0] {
		ts.Fatalf("exit code is %s, not %s:\n%s", code, args[0], content())
	}
}
