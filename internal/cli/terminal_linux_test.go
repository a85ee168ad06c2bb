package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"openshell.ai/openshell/pkg/gatewayclient/gatewaytest"
)

// atTerminal is openshell at a terminal.
type atTerminal struct {
	t   *testing.T
	pty *os.File
	cmd *exec.Cmd

	mu   sync.Mutex
	seen bytes.Buffer
}

// desk is a gateway, and the configuration that knows it.
func desk(t *testing.T) (config string, g *gatewaytest.Gateway) {
	t.Helper()
	config = t.TempDir()
	g, err := gatewaytest.New("openshell", t.TempDir())
	if err == nil {
		err = g.Start()
	}
	if err == nil {
		err = g.WriteFiles(config)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	return config, g
}

// sit starts openshell, which testscript has put into the path, at a terminal.
func sit(t *testing.T, config string, args ...string) *atTerminal {
	t.Helper()
	cmd := exec.Command("openshell", args...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+config, "TERM=vt100", "CI=")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	a := &atTerminal{t: t, pty: terminal, cmd: cmd}
	t.Cleanup(func() {
		cmd.Process.Kill()
		terminal.Close()
	})
	go io.Copy(a, terminal)
	return a
}

func (a *atTerminal) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.Write(p)
}

func (a *atTerminal) screen() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.String()
}

func (a *atTerminal) sees(text string) {
	a.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(a.screen(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("never %q:\n%s", text, a.screen())
		}
	}
}

func (a *atTerminal) types(keys string) {
	a.t.Helper()
	if _, err := io.WriteString(a.pty, keys); err != nil {
		a.t.Fatal(err)
	}
}

func (a *atTerminal) raw() bool {
	state, err := unix.IoctlGetTermios(int(a.pty.Fd()), unix.TCGETS)
	if err != nil {
		a.t.Fatal(err)
	}
	return state.Lflag&unix.ICANON == 0
}

// ends wants an exit code, and the terminal as it was before.
func (a *atTerminal) ends(code int) {
	a.t.Helper()
	ended := make(chan struct{})
	go func() {
		a.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		a.t.Fatalf("it does not end:\n%s", a.screen())
	}
	if got := a.cmd.ProcessState.ExitCode(); got != code {
		a.t.Errorf("exit code %d, not %d:\n%s", got, code, a.screen())
	}
	if a.raw() {
		a.t.Error("the terminal is left raw")
	}
}

func TestShellAtATerminal(t *testing.T) {
	config, g := desk(t)
	a := sit(t, config, "sandbox", "create", "--name", "box")
	a.sees("create sandbox box")
	a.types("stty size; echo term=$TERM; tty\n")
	a.sees("30 100")
	a.sees("term=vt100")
	a.sees("/dev/pts/")
	if !a.raw() {
		t.Error("keys are not passed on as they are")
	}
	// The size follows, and Ctrl-C is the shell's.
	pty.Setsize(a.pty, &pty.Winsize{Rows: 20, Cols: 70})
	a.types("sleep 100\n")
	time.Sleep(200 * time.Millisecond)
	a.types("\x03stty size\n")
	a.sees("20 70")
	a.types("exit 4\n")
	a.ends(4)
	a.sees("sandbox box is kept; `openshell sandbox connect box` goes back into it")

	again := sit(t, config, "sandbox", "connect", "box")
	again.types("echo $((6*7))\n")
	again.sees("42")
	again.types("exit\n")
	again.ends(0)
	if g.Tokens() != 0 {
		t.Errorf("%d sessions are left", g.Tokens())
	}

	brief := sit(t, config, "sandbox", "create", "--name", "brief", "--no-keep")
	brief.sees("create sandbox brief")
	brief.types("exit\n")
	brief.ends(0)
	if g.Sandbox("brief") != nil {
		t.Error("it is kept")
	}
}

func TestCommandAtATerminalIsLeftByKeys(t *testing.T) {
	config, _ := desk(t)
	a := sit(t, config, "sandbox", "create", "--name", "box", "--", "sh", "-c", "test -t 0 && echo on a terminal; read word; echo got $word; exit 3")
	a.sees("on a terminal")
	a.types("\x10\x11")
	a.ends(0)
	a.sees("left the command of sandbox box running; `openshell sandbox attach box` shows it again")
	again := sit(t, config, "sandbox", "attach", "box")
	again.sees("on a terminal")
	again.types("hello\n")
	again.sees("got hello")
	again.ends(3)
}

func TestTerminalIsGivenBackWhenTheGatewayGoes(t *testing.T) {
	config, g := desk(t)
	a := sit(t, config, "sandbox", "create", "--name", "box")
	a.types("echo $((6*7))\n")
	a.sees("42")
	g.Stop()
	a.ends(125)
	a.sees("the connection to sandbox box was lost")
}

func TestExecAtATerminal(t *testing.T) {
	config, _ := desk(t)
	sit(t, config, "sandbox", "create", "--name", "box", "--detach").ends(0)
	a := sit(t, config, "sandbox", "exec", "box", "--", "sh", "-c", "tty; stty size; read word; exit 7")
	a.sees("/dev/pts/")
	a.sees("30 100")
	a.types("\x10\x11x\n") // the keys that leave are the command's here
	a.ends(7)
	sit(t, config, "sandbox", "exec", "box", "--tty=false", "--", "sh", "-c", "test -t 1 || exit 6").ends(6)
}

func TestUploadAtATerminalShowsABar(t *testing.T) {
	config, _ := desk(t)
	sit(t, config, "sandbox", "create", "--name", "box", "--detach").ends(0)
	big := t.TempDir() + "/big"
	if err := os.WriteFile(big, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	a := sit(t, config, "sandbox", "upload", "box", big)
	a.sees("uploaded 1 file, 67.11MB to sandbox box: /sandbox/big")
	a.ends(0)
	if !strings.Contains(a.screen(), "% ") || !strings.Contains(a.screen(), "of 67.11MB") {
		t.Errorf("no bar:\n%q", a.screen())
	}
}
