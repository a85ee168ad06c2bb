//go:build linux

package supervisor

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/supervisor/proc"
)

// Payloads of RFC 4254.
type (
	ptyRequest struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}
	windowChange  struct{ Cols, Rows, Width, Height uint32 }
	setenv        struct{ Name, Value string }
	text          struct{ Value string } // of exec, subsystem and signal
	exitSignalled struct {
		Name              string
		CoreDumped        bool
		Message, Language string
	}
)

// signals are those that RFC 4254 has names for.
func signalNames() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
		"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
		"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1,
		"USR2": syscall.SIGUSR2,
	}
}

func signalName(s syscall.Signal) string {
	for name, signal := range signalNames() {
		if signal == s {
			return name
		}
	}
	return ""
}

func size(cols, rows uint32) proc.Size {
	const most = 1<<16 - 1
	return proc.Size{Cols: uint16(min(cols, most)), Rows: uint16(min(rows, most))}
}

// control obeys a request about a running process, and says whether it could.
func control(p *proc.Process, r *ssh.Request) bool {
	switch r.Type {
	case "window-change":
		var m windowChange
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false
		}
		p.Resize(size(m.Cols, m.Rows))
		return true
	case "signal":
		var m text
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false
		}
		signal, ok := signalNames()[strings.TrimPrefix(m.Value, "SIG")]
		if ok {
			p.Signal(signal)
		}
		return ok
	}
	return false
}

// exit tells a process's end. A signal without a name in SSH is told as shells do.
func exit(ch ssh.Channel, p *proc.Process) {
	signal, core := p.Signalled()
	if name := signalName(signal); signal != 0 && name != "" {
		ch.SendRequest("exit-signal", false, ssh.Marshal(exitSignalled{Name: name, CoreDumped: core})) //nolint:errcheck // the client is gone
		return
	}
	exitStatus(ch, p.ExitCode())
}

func exitStatus(ch ssh.Channel, code int) {
	ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)})) //nolint:errcheck // the client is gone
}

func answer(r *ssh.Request, ok bool) {
	if r.WantReply {
		r.Reply(ok, nil) //nolint:errcheck // the client is gone
	}
}

// refuse gives the reason in one line, of printable characters.
func refuse(request ssh.NewChannel, reason string) {
	q := strconv.Quote(reason)
	request.Reject(ssh.ConnectionFailed, q[1:len(q)-1]) //nolint:errcheck // the client is gone
}
