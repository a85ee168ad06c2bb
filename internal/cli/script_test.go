//go:build !windows

package cli

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		// openshell has a fake Docker, openshell-real the machine's.
		"openshell":      func() { os.Exit(runWith(fakeDeps(), os.Args[1:])) },
		"openshell-real": func() { os.Exit(Main()) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
			env.Setenv("HOME", env.WorkDir)
			setUpGateways(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"interrupts": interrupts,
			"eventually": eventually,
			"gateway":    runGateway,
			"routed":     setRoute,
			"sandbox":    lookAtSandbox,
			"sessions":   countSessions,
			"signalled":  signalled,
		},
	})
}

// exits runs a command and checks its exit code: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = exitOf(err)
	}
	if code != args[0] {
		ts.Fatalf("exit code is %s, not %s\nstdout:\n%s\nstderr:\n%s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func exitOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}

// interrupts runs a command, sends it an interrupt as soon as it has asked
// Docker, another if it goes on for two seconds, and wants exit code 130: interrupts COMMAND ARG...
func interrupts(ts *testscript.TestScript, neg bool, args []string) {
	asked := ts.Getenv("ASKED")
	ts.Check(os.RemoveAll(asked))
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "FAKE="+ts.MkAbs(ts.Getenv("FAKE")), "ASKED="+asked, "XDG_CONFIG_HOME="+ts.Getenv("XDG_CONFIG_HOME"))
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if content, err := os.ReadFile(asked); err == nil && len(content) > 0 {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			ts.Fatalf("the command never asked Docker")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range 2 {
		ts.Check(cmd.Process.Signal(os.Interrupt))
		select {
		case err := <-ended:
			ended <- err
		case <-time.After(2 * time.Second):
			continue // the first was not enough
		}
		break
	}
	if code := exitOf(<-ended); neg || code != "130" {
		ts.Fatalf("exit code is %s, not 130", code)
	}
}
