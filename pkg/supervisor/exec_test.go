//go:build linux

package supervisor_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

func TestExec(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	if err := os.WriteFile(r.path("workspace/plain"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 100_000)
	sh := func(script string) sandboxapi.Exec { return sandboxapi.Exec{Argv: []string{"sh", "-c", script}} }
	for name, tc := range map[string]struct {
		exec  sandboxapi.Exec
		stdin string
		want  result
	}{
		"output and code":   {sh("echo hi; echo oops >&2; exit 7"), "", result{7, "hi\n", "oops\n"}},
		"signal":            {sh("kill -TERM $$"), "", result{143, "", ""}},
		"unnamed signal":    {sh("kill -BUS $$"), "", result{135, "", ""}},
		"stdin":             {sandboxapi.Exec{Argv: []string{"cat"}}, "typed", result{0, "typed", ""}},
		"no stdin":          {sandboxapi.Exec{Argv: []string{"cat"}}, "", result{0, "", ""}},
		"unread stdin":      {sh("exit 3"), strings.Repeat(long, 50), result{3, "", ""}},
		"much both ways":    {sandboxapi.Exec{Argv: []string{"cat"}}, strings.Repeat(long, 50), result{0, strings.Repeat(long, 50), ""}},
		"home":              {sh("pwd; echo $HOME"), "", result{0, "/sandbox\n/sandbox\n", ""}},
		"directory":         {sandboxapi.Exec{Argv: []string{"pwd"}, Dir: "/usr"}, "", result{0, "/usr\n", ""}},
		"relative":          {sandboxapi.Exec{Argv: []string{"pwd"}, Dir: "."}, "", result{0, "/sandbox\n", ""}},
		"environment":       {sandboxapi.Exec{Argv: []string{"sh", "-c", "echo $A $GREETING"}, Env: map[string]string{"A": "b c"}}, "", result{0, "b c hello\n", ""}},
		"their PATH":        {sandboxapi.Exec{Argv: []string{"sh"}, Env: map[string]string{"PATH": "/nowhere"}}, "", result{127, "", "openshell: sh: command not found\n"}},
		"not found":         {sandboxapi.Exec{Argv: []string{"nosuch"}}, "", result{127, "", "openshell: nosuch: command not found\n"}},
		"no such path":      {sandboxapi.Exec{Argv: []string{"./nosuch"}}, "", result{127, "", "openshell: ./nosuch: no such file, or its interpreter is missing\n"}},
		"not executable":    {sandboxapi.Exec{Argv: []string{"/sandbox/plain"}}, "", result{126, "", "openshell: /sandbox/plain: permission denied\n"}},
		"a directory":       {sandboxapi.Exec{Argv: []string{"/usr"}}, "", result{126, "", "openshell: /usr: permission denied\n"}},
		"no such directory": {sandboxapi.Exec{Argv: []string{"pwd"}, Dir: "/nowhere"}, "", result{126, "", "openshell: /nowhere: no such directory\n"}},
		"forbidden place":   {sandboxapi.Exec{Argv: []string{"pwd"}, Dir: sandboxapi.StateDir}, "", result{126, "", "openshell: " + sandboxapi.StateDir + ": permission denied\n"}},
		"NUL":               {sandboxapi.Exec{Argv: []string{"echo", "a\x00b"}}, "", result{126, "", "openshell: echo: invalid argument\n"}},
		"many arguments":    {sandboxapi.Exec{Argv: []string{"sh", "-c", "echo $#; cat", "sh", long, long, long, long}}, "in", result{0, "4\nin", ""}},
		"too long":          {sandboxapi.Exec{Argv: []string{"echo", strings.Repeat("x", 200_000)}}, "", result{126, "", "openshell: echo: argument list too long\n"}},
		"reopened output":   {sh("echo a >/dev/stdout; echo b >/dev/stderr; cat /proc/self/fd/0"), "in", result{0, "a\nin", "b\n"}},
		"terminal": {
			sandboxapi.Exec{Argv: []string{"sh", "-c", "stty size; echo $TERM; tty; echo err >&2; test -O $(tty) && exit 4"}, TTY: &sandboxapi.TTY{Term: "vt100", Cols: 132, Rows: 43}},
			"", result{4, "43 132\r\nvt100\r\n/dev/pts/0\r\nerr\r\n", ""},
		},
		"end of input on a terminal": {
			sandboxapi.Exec{Argv: []string{"sh", "-c", "stty -echo; echo ready; cat"}, TTY: &sandboxapi.TTY{Term: "vt100"}},
			"", result{0, "ready\r\n", ""},
		},
		"background process with the output": {sh("seq 1 100000; sleep 60 & exit 5"), "", result{5, sequence(100_000), ""}},
		"background process of a terminal": {
			sandboxapi.Exec{Argv: []string{"sh", "-c", "echo x; sleep 60 & exit 5"}, TTY: &sandboxapi.TTY{Term: "vt100"}}, "", result{5, "x\r\n", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			got := r.exec(t, tc.exec, tc.stdin)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func sequence(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

func TestOutputComesBeforeTheExit(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	c := r.connect()
	for range 100 {
		var out strings.Builder
		code, err := c.Exec(t.Context(), sandboxapi.Exec{Argv: []string{"sh", "-c", "echo first; echo last"}}, sandboxssh.Streams{Stdout: &out})
		if code != 0 || err != nil || out.String() != "first\nlast\n" {
			t.Fatalf("%q, %d, %v", out.String(), code, err)
		}
	}
}

func TestHalfClosedStreams(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	s, err := r.raw().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdin, _ := s.StdinPipe()
	stdout, _ := s.StdoutPipe()
	// Output ends while the process still reads; it says by its exit what it read.
	if err := s.Start(`exec >&- 2>&-; read line; test "$line" = go && exit 6`); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(stdout); len(out) > 0 || err != nil {
		t.Fatalf("%q, %v", out, err)
	}
	io.WriteString(stdin, "go\n")
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "status 6") {
		t.Errorf("ended with %v", err)
	}
}

func TestClosedClientHangsUp(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	script := `trap 'echo hup > /sandbox/%[1]s; exit' HUP; echo > /sandbox/%[1]s-runs; while :; do sleep 0.05; done`
	for name, tc := range map[string]struct {
		tty  *sandboxapi.TTY
		away func(*sandboxssh.Client, context.CancelFunc)
	}{
		"cancelled":            {nil, func(_ *sandboxssh.Client, cancel context.CancelFunc) { cancel() }},
		"disconnected":         {nil, func(c *sandboxssh.Client, _ context.CancelFunc) { c.Close() }},
		"disconnected-of-tty":  {&sandboxapi.TTY{Term: "vt100"}, func(c *sandboxssh.Client, _ context.CancelFunc) { c.Close() }},
		"cancelled-in-the-tty": {&sandboxapi.TTY{Term: "vt100"}, func(_ *sandboxssh.Client, cancel context.CancelFunc) { cancel() }},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := r.connect()
			failed := make(chan error, 1)
			go func() {
				_, err := c.Exec(ctx, sandboxapi.Exec{Argv: []string{"sh", "-c", fmt.Sprintf(script, name)}, TTY: tc.tty}, sandboxssh.Streams{})
				failed <- err
			}()
			r.eventually("running", r.has(name+"-runs"))
			tc.away(c, cancel)
			r.eventually("hung up", r.has(name))
			if err := <-failed; err == nil {
				t.Error("the client believes that it ended")
			}
		})
	}
}

func TestSignalsAndSizesReachTheProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	sizes, signals := make(chan sandboxapi.TTY), make(chan string)
	reader, writer := io.Pipe()
	go func() {
		buf := make([]byte, 1000)
		for seen := ""; ; {
			n, err := reader.Read(buf)
			if err != nil {
				return
			}
			switch seen += string(buf[:n]); {
			case strings.Contains(seen, "ready"):
				seen = ""
				sizes <- sandboxapi.TTY{Cols: 111, Rows: 22}
			case strings.Contains(seen, "22 111"):
				seen = ""
				signals <- "TERM"
			}
		}
	}()
	script := `trap 'stty size' WINCH; trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done`
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	code, err := r.connect().Exec(ctx, sandboxapi.Exec{Argv: []string{"bash", "-c", script}, TTY: &sandboxapi.TTY{Term: "vt100", Cols: 80, Rows: 24}},
		sandboxssh.Streams{Stdout: writer, Sizes: sizes, Signals: signals})
	if code != 9 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
}

func TestLoginShell(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	var out strings.Builder
	code, err := r.connect().Shell(t.Context(), sandboxapi.TTY{Term: "vt100", Cols: 80, Rows: 24}, map[string]string{"WISH": "granted"},
		sandboxssh.Streams{Stdin: strings.NewReader("echo \"<$0 $WISH $SHELL>\"; shopt -q login_shell && exit 5\n"), Stdout: &out})
	if code != 5 || err != nil || !strings.Contains(out.String(), "<-bash granted /bin/bash>") {
		t.Errorf("code %d, %v, output %q", code, err, out.String())
	}
}
