//go:build e2e || soak || bench

// Package e2e holds scenarios that a user could live through, played with the
// built command line against the real Docker Engine. They are black boxes: a
// scenario runs openshell, docker and kubectl, and looks at what came of it.
//
// OPENSHELL_BIN names the command line to test; bin/openshell by default. The
// node image is the one of its version.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
)

// patience ends a command that hangs, so that its scenario can say what was
// going on.
const patience = 4 * time.Minute

var openshellBin = binary()

func binary() string {
	path := os.Getenv("OPENSHELL_BIN")
	if path == "" {
		path = filepath.Join("..", "bin", "openshell")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return abs
}

func TestMain(m *testing.M) {
	if err := checkSurroundings(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(watched(m))
}

// imageOf is the node image that belongs to openshell.
func imageOf(openshell string) (string, error) {
	out, err := exec.Command(openshell, "version", "-o", "json").Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w (build it with ./task build)", openshell, err)
	}
	var build struct{ Version string }
	if err := json.Unmarshal(out, &build); err != nil {
		return "", fmt.Errorf("openshell version: %w", err)
	}
	return bootstrap.DefaultImage + ":" + build.Version, nil
}

// nodeImage is the image that gateways run unless told otherwise.
func nodeImage(t testing.TB) string {
	t.Helper()
	image, err := imageOf(openshellBin)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// checkSurroundings says what to build when something is missing, once instead
// of in every scenario.
func checkSurroundings() error {
	image, err := imageOf(openshellBin)
	if err != nil {
		return err
	}
	if out, err := exec.Command("docker", "image", "inspect", image).CombinedOutput(); err != nil {
		return fmt.Errorf("image %s: %w (build it with ./task image)\n%s", image, err, out)
	}
	return nil
}

// Result is how a command ended.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Code           int // exit code; -1: killed
	Took           time.Duration
}

func (r Result) String() string {
	return fmt.Sprintf("%s: exit code %d after %s\nstdout: %s\nstderr: %s",
		strings.Join(r.Args, " "), r.Code, r.Took.Round(time.Millisecond), r.Stdout, r.Stderr)
}

// Exits ends the test unless the command exited with the code.
func (r Result) Exits(t testing.TB, code int) Result {
	t.Helper()
	if r.Code != code {
		t.Fatalf("exit code %d wanted\n%s", code, r)
	}
	return r
}

// JSON decodes the whole of stdout.
func (r Result) JSON(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		t.Fatalf("stdout is no JSON document: %v\n%s", err, r)
	}
}

// Says ends the test unless stdout or stderr contains every one of the texts.
func (r Result) Says(t testing.TB, texts ...string) Result {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.Stdout, text) && !strings.Contains(r.Stderr, text) {
			t.Errorf("%q is not in the output\n%s", text, r)
		}
	}
	return r
}

// run runs a command to its end. env is added to this process's environment.
func run(t testing.TB, env []string, stdin, name string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	if ctx.Err() != nil {
		t.Errorf("%s %s did not end within %s", filepath.Base(name), strings.Join(args, " "), patience)
	}
	return Result{
		Args:   append([]string{filepath.Base(name)}, args...),
		Stdout: stdout.String(), Stderr: stderr.String(),
		Code: cmd.ProcessState.ExitCode(), Took: time.Since(began),
	}
}

// docker runs the docker command, which must succeed, and returns its output
// without surrounding space.
func docker(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(run(t, nil, "", "docker", args...).Exits(t, 0).Stdout)
}

// eventually waits until done answers true; what says what for. It is for what
// happens in the engine or in Kubernetes on its own. It asks less often the
// longer it has waited: asking costs others the processor.
func eventually(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	const often, seldom = 100 * time.Millisecond, 500 * time.Millisecond
	began := time.Now()
	for !done() {
		waited := time.Since(began)
		if waited > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(min(max(often, waited/5), seldom))
	}
}
