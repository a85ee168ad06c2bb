package bootstrap

import (
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

func TestBadOptionsAreRefusedByName(t *testing.T) {
	for flag, opts := range map[string]StartOptions{
		"--port":         {Port: ptr(0)},
		"--http-port":    {HTTPPort: ptr(-1)},
		"--vpn-port":     {VPNPort: ptr(65536)},
		"--bind":         {Bind: ptr("localhost")},
		"--gateway-host": {GatewayHosts: ptr([]string{"no spaces"})},
		"--cpus":         {CPUs: ptr(-0.5)},
		"--memory":       {Memory: ptr(int64(1024))},
		"--timeout":      {Timeout: -1},
		"--idle-timeout": {IdleTimeout: -1},
	} {
		opts.Name = testName
		err := opts.Validate()
		if !fault.HasID(err, fault.BadValue) || fault.ExitOf(err) != fault.ExitUsage || !strings.HasPrefix(err.Error(), flag+" ") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if err := (StartOptions{Name: "-"}).Validate(); !fault.HasID(err, fault.BadName) {
		t.Errorf("name: %v", err)
	}
	zero := StartOptions{Name: testName, HTTPPort: ptr(0), VPNPort: ptr(0), CPUs: ptr(0.0), Memory: ptr(int64(0)), GatewayHosts: ptr([]string(nil))}
	if err := zero.Validate(); err != nil {
		t.Errorf("0 is none: %v", err)
	}
}

func TestBadOptionsTouchNothing(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustFail(StartOptions{Port: ptr(70000)}, fault.BadValue)
		if calls := r.engine.Calls(); len(calls) > 0 {
			t.Errorf("%v", calls)
		}
	})
}

func TestEndpointOfABindAddress(t *testing.T) {
	for bind, want := range map[string]string{
		"127.0.0.1": "https://127.0.0.1:8080",
		"0.0.0.0":   "https://127.0.0.1:8080",
		"::":        "https://[::1]:8080",
		"10.1.2.3":  "https://10.1.2.3:8080",
	} {
		if got := endpointURL(bind, 8080); got != want {
			t.Errorf("%s: %s, want %s", bind, got, want)
		}
	}
}

func TestCertificateCoversTheAddressClientsUse(t *testing.T) {
	s := settled()
	s.GatewayHosts = []string{"box.lan"}
	if got := list(certificateHosts(s)); got != "box.lan" {
		t.Errorf("loopback: %s", got)
	}
	s.Bind = "10.1.2.3"
	if got := list(certificateHosts(s)); got != "10.1.2.3,box.lan" {
		t.Errorf("an address of the network: %s", got)
	}
}

func TestTLSIsKeptUnlessItIsSaidAndThenItIsACause(t *testing.T) {
	have := settled()
	for _, c := range []struct {
		have       bool
		flag       *bool
		want       bool
		difference string
	}{
		{false, nil, false, ""}, {true, nil, true, ""}, {true, ptr(true), true, ""},
		{false, ptr(true), true, "http-tls off -> on"}, {true, ptr(false), false, "http-tls on -> off"},
	} {
		have.HTTPTLS = c.have
		want, changes := StartOptions{Name: testName, HTTPTLS: c.flag}.apply(have)
		said := ""
		for _, ch := range changes {
			said += ch.String()
		}
		if want.HTTPTLS != c.want || said != c.difference {
			t.Errorf("%+v: %t, %q", c, want.HTTPTLS, said)
		}
	}
}

func TestPitfall28ContainerSpecIsSmallAndCarriesNoSecret(t *testing.T) {
	spec := containerSpec(settled(), labels())
	if len(spec.Env) > 0 || len(spec.Cmd) > 0 || len(spec.Entrypoint) > 0 {
		t.Errorf("environment %v, command %v %v", spec.Env, spec.Entrypoint, spec.Cmd)
	}
	if got := list(spec.CapAdd); got != "SYS_ADMIN,NET_ADMIN" {
		t.Errorf("capabilities: %s", got)
	}
	if spec.RestartPolicy != "unless-stopped" || spec.Hostname != "openshell-cluster-dev" {
		t.Errorf("%+v", spec)
	}
	if len(drift(docker.Container{
		Hostname: spec.Hostname, Volumes: spec.Volumes, Ports: spec.Ports, NanoCPUs: spec.NanoCPUs, Memory: spec.Memory,
	}, spec)) > 0 {
		t.Error("a container drifts from its own spec")
	}
}
