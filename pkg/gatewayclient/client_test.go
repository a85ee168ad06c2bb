//go:build !windows

package gatewayclient_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/gatewayclient/gatewaytest"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
)

func start(t *testing.T) *gatewaytest.Gateway {
	t.Helper()
	g, err := gatewaytest.New("work", t.TempDir())
	if err == nil {
		err = g.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	return g
}

func dial(t *testing.T, g *gatewaytest.Gateway) *gatewayclient.Client {
	t.Helper()
	c, err := gatewayclient.Dial(t.Context(), gatewayclient.Gateway{Name: g.Name, Endpoint: g.Endpoint(), Bundle: g.Bundle})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func create(t *testing.T, c *gatewayclient.Client, name string) *datamodelv1.Sandbox {
	t.Helper()
	if _, err := c.CreateSandbox(t.Context(), &openshellv1.CreateSandboxRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	answer, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetSandbox()
}

func TestWhatDoesNotAnswerIsUnreachableWithinSeconds(t *testing.T) {
	g, other := start(t), start(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) // after the parallel ones
	hangsUp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangsUp.Close() })
	go func() {
		for {
			conn, err := hangsUp.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	for name, c := range map[string]struct {
		endpoint string
		bundle   hostconfig.Bundle
		id       fault.ID
		says     string
	}{
		"nobody listens":             {"https://127.0.0.1:1", g.Bundle, fault.NotRunning, "connection refused"},
		"it says nothing":            {"https://" + silent.Addr().String(), g.Bundle, fault.NotRunning, ""},
		"it hangs up":                {"https://" + hangsUp.Addr().String(), g.Bundle, fault.NotRunning, ""},
		"it shows another's":         {g.Endpoint(), hostconfig.Bundle{CA: other.Bundle.CA, Cert: g.Bundle.Cert, Key: g.Bundle.Key}, fault.Unhealthy, "certificate"},
		"it does not accept us":      {g.Endpoint(), hostconfig.Bundle{CA: g.Bundle.CA, Cert: other.Bundle.Cert, Key: other.Bundle.Key}, fault.Unhealthy, "certificate authority"},
		"our certificate is damaged": {g.Endpoint(), hostconfig.Bundle{CA: g.Bundle.CA, Cert: []byte("x"), Key: g.Bundle.Key}, fault.Unhealthy, "client certificate"},
		"our roots are damaged":      {g.Endpoint(), hostconfig.Bundle{CA: []byte("x"), Cert: g.Bundle.Cert, Key: g.Bundle.Key}, fault.Unhealthy, "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := gatewayclient.Dial(context.Background(), gatewayclient.Gateway{Name: "work", Endpoint: c.endpoint, Bundle: c.bundle})
			if !errors.Is(err, gatewayclient.ErrUnreachable) || !fault.HasID(err, c.id) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	g := start(t)
	if _, err := gatewayclient.Dial(ctx, gatewayclient.Gateway{Name: "work", Endpoint: g.Endpoint(), Bundle: g.Bundle}); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestDamagedEndpoint(t *testing.T) {
	for _, endpoint := range []string{"", "127.0.0.1:8080", "http://127.0.0.1:8080", "https://127.0.0.1", "https://%"} {
		_, err := gatewayclient.Dial(t.Context(), gatewayclient.Gateway{Name: "work", Endpoint: endpoint})
		if !fault.HasID(err, fault.HostFiles) || errors.Is(err, gatewayclient.ErrUnreachable) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestAnswersAreFaults(t *testing.T) {
	g := start(t)
	c := dial(t, g)
	create(t, c, "box")
	create(t, c, gatewaytest.Slow)
	call := func(name string, spec *datamodelv1.SandboxSpec) error {
		_, err := c.CreateSandbox(t.Context(), &openshellv1.CreateSandboxRequest{Name: name, Spec: spec})
		return err
	}
	get := func(name string) error {
		_, err := c.GetSandbox(t.Context(), &openshellv1.GetSandboxRequest{Name: name})
		return err
	}
	_, notReady := c.Tunnel(t.Context(), &datamodelv1.Sandbox{Id: g.Sandbox(gatewaytest.Slow).ID()})
	_, gone := c.Connect(t.Context(), &datamodelv1.Sandbox{Id: "nobody"})
	watch, err := c.WatchSandbox(t.Context(), &openshellv1.WatchSandboxRequest{Id: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	_, streamed := watch.Recv()
	for name, c := range map[string]struct {
		err  error
		id   fault.ID
		exit fault.Exit
		says string
	}{
		"absent":      {get("nobody"), fault.SandboxAbsent, fault.ExitFailure, "sandbox nobody does not exist"},
		"exists":      {call("box", nil), fault.SandboxExists, fault.ExitConflict, "sandbox box exists already"},
		"unsupported": {call("gpu", &datamodelv1.SandboxSpec{Gpu: true}), fault.Unsupported, fault.ExitFailure, "gpu"},
		"internal":    {call(gatewaytest.Refused, nil), fault.GatewayError, fault.ExitFailure, "etcd is on fire"},
		"not ready":   {notReady, fault.SandboxNotReady, fault.ExitNotRunning, "not ready"},
		"no session":  {gone, fault.SandboxAbsent, fault.ExitFailure, "nobody"},
		"stream":      {streamed, fault.SandboxAbsent, fault.ExitFailure, "nobody"},
	} {
		if !fault.HasID(c.err, c.id) || fault.ExitOf(c.err) != c.exit || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	g.Stop()
	if err := get("box"); !errors.Is(err, gatewayclient.ErrUnreachable) {
		t.Errorf("stopped: %v", err)
	}
}

func TestASandboxThatComesUpIsWaitedFor(t *testing.T) {
	g := start(t)
	c := dial(t, g)
	slow := create(t, c, gatewaytest.Slow)
	if _, err := c.StartSandbox(t.Context(), &openshellv1.StartSandboxRequest{Name: gatewaytest.Slow}); err != nil {
		t.Fatal(err)
	}
	tunnel, err := c.Tunnel(t.Context(), slow) // it takes a moment
	if err != nil {
		t.Fatal(err)
	}
	tunnel.Close()
	broken := create(t, c, gatewaytest.Broken)
	began := time.Now()
	if _, err := c.Tunnel(t.Context(), broken); !fault.HasID(err, fault.SandboxNotReady) || time.Since(began) > 5*time.Second {
		t.Errorf("one that does not come up: %v after %s", err, time.Since(began))
	}
}

func TestSessionsAreRevokedWhenTheyEnd(t *testing.T) {
	g := start(t)
	c := dial(t, g)
	box := create(t, c, "box")
	ssh, err := c.Connect(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code, err := ssh.Exec(t.Context(), sandboxapi.Exec{Argv: []string{"sh", "-c", "echo $OPENSHELL_SANDBOX; exit 3"}}, sandboxssh.Streams{Stdout: &out})
	if code != 3 || err != nil || out.String() != "box\n" {
		t.Errorf("exit code %d, %v: %q", code, err, &out)
	}
	if n := g.Tokens(); n != 1 {
		t.Errorf("%d sessions while connected", n)
	}
	ssh.Close()
	c.Close()
	if n := g.Tokens(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestAnotherHostKeyIsRefused(t *testing.T) {
	g := start(t)
	c := dial(t, g)
	box, other := create(t, c, "box"), create(t, c, "other")
	g.Impersonate("box", "other")
	if _, err := c.Connect(t.Context(), box); !fault.HasID(err, fault.ConnectionLost) || !strings.Contains(err.Error(), "host key") {
		t.Errorf("%v", err)
	}
	if _, err := c.Connect(t.Context(), other); err != nil {
		t.Error(err)
	}
	c.Close()
	if n := g.Tokens(); n > 1 {
		t.Errorf("%d sessions are left", n)
	}
}
