package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/server"
)

const testSecret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// The test binary runs as the server itself when told so by the environment.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_SERVER") != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(t *testing.T, secret string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = []string{"TEST_RUN_SERVER=1"}
	if secret != "" {
		cmd.Env = append(cmd.Env, server.HandshakeEnv+"="+secret)
	}
	log := &bytes.Buffer{}
	cmd.Stderr = log
	return cmd, log
}

func TestRefusesToStart(t *testing.T) {
	for _, tt := range []struct {
		name, secret string
		args         []string
		code         int
		want         string
	}{
		{"without the handshake secret", "", []string{"--disable-tls"}, 1, server.HandshakeEnv + " is not set"},
		{"with a handshake secret of another form", "tooshort", []string{"--disable-tls"}, 1, "64 hexadecimal digits"},
		{"without TLS files", testSecret, []string{"--tls-cert=/nonexistent/tls.crt"}, 1, "/nonexistent/tls.crt"},
		{"with an unknown flag", testSecret, []string{"--nonsense"}, 2, "nonsense"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, log := command(t, tt.secret, tt.args...)
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != tt.code {
				t.Errorf("ended with %v, want exit code %d", err, tt.code)
			}
			if !strings.Contains(log.String(), tt.want) {
				t.Errorf("log lacks %q:\n%s", tt.want, log)
			}
			if tt.secret != "" && strings.Contains(log.String(), tt.secret) {
				t.Errorf("the secret is in the log:\n%s", log)
			}
		})
	}
}

func TestPitfall30EndsOnSIGTERM(t *testing.T) {
	cmd, _ := command(t, testSecret, "--disable-tls", "--listen=127.0.0.1:0", "--probe-listen=127.0.0.1:0")
	cmd.Stderr = nil
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewScanner(stderr)
	if !log.Scan() {
		t.Fatal("the server said nothing")
	}
	var serving struct{ Gateway, Probes string }
	if err := json.Unmarshal(log.Bytes(), &serving); err != nil {
		t.Fatalf("%s: %v", log.Text(), err)
	}
	resp, err := http.Get("http://" + serving.Probes + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	all := serving.Gateway
	for log.Scan() {
		all += log.Text()
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stop took %v, more than 2 s", took)
	}
	if strings.Contains(all, testSecret) {
		t.Errorf("the secret is in the log:\n%s", all)
	}
}
