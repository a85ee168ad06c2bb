package server

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseFlags(t *testing.T) {
	got, err := ParseFlags([]string{
		"--listen=:1", "--probe-listen=[::1]:2", "--tls-cert=c", "--tls-key=k", "--client-ca=a", "--disable-gateway-auth",
		"--sandbox-image=i", "--grpc-endpoint=https://gw:8080", "--ssh-gateway-host=h", "--ssh-gateway-port=22",
	}, io.Discard)
	must(t, err)
	want := Config{
		Listen: ":1", ProbeListen: "[::1]:2", TLS: TLSFiles{Cert: "c", Key: "k", ClientCA: "a"}, DisableGatewayAuth: true,
		Sandboxes: Sandboxes{Image: "i", GRPCEndpoint: "https://gw:8080", SSHGatewayHost: "h", SSHGatewayPort: 22},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Config{}, "Controller")); diff != "" {
		t.Errorf("ParseFlags() (-want +got):\n%s", diff)
	}
}

func TestParseFlagsNamesTheFlagAtFault(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen=8080"}, `flag -listen: "8080" is not host:port`},
		{[]string{"--probe-listen="}, `flag -probe-listen: "" is not host:port`},
		{[]string{"--tls-cert="}, "flag -tls-cert: the path of a PEM file is needed"},
		{[]string{"--client-ca="}, "flag -client-ca: the path of a PEM file is needed"},
		{[]string{"--ssh-gateway-port=65536"}, "flag -ssh-gateway-port: 65536 is not 0 to 65535"},
		{[]string{"--grpc-endpoint=gw:8080"}, `flag -grpc-endpoint: "gw:8080" is not a URL`},
		{[]string{"--disable-tls=maybe"}, "disable-tls"},
		{[]string{"--nonsense"}, "nonsense"},
		{[]string{"serve"}, `unexpected argument "serve"`},
	} {
		_, err := ParseFlags(tt.args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseFlags(%q) error = %v, want one with %q", tt.args, err, tt.want)
		}
	}
}

func TestParseFlagsHelp(t *testing.T) {
	var out bytes.Buffer
	if _, err := ParseFlags([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error = %v, want flag.ErrHelp", err)
	}
	if !strings.Contains(out.String(), "-client-ca file") {
		t.Errorf("help does not list the flags:\n%s", &out)
	}
}

func TestPitfall28HandshakeSecretDoesNotPrint(t *testing.T) {
	cfg := Config{Handshake: testSecret}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, cfg); strings.Contains(out, testSecret) {
			t.Errorf("%s shows the secret: %s", verb, out)
		}
	}
}

func TestTakeHandshakeSecretLeavesNoneBehind(t *testing.T) {
	t.Setenv(HandshakeEnv, testSecret)
	got, err := TakeHandshakeSecret()
	must(t, err)
	if string(got) != testSecret {
		t.Error("another value was read")
	}
	if _, ok := os.LookupEnv(HandshakeEnv); ok {
		t.Error("the variable is still in the environment")
	}
	if _, err := TakeHandshakeSecret(); err == nil || !strings.Contains(err.Error(), HandshakeEnv) {
		t.Errorf("error = %v, want one that names %s", err, HandshakeEnv)
	}
}
