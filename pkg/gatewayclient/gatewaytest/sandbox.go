//go:build !windows

package gatewaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/proto"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/tunnel"
)

// Sandbox is a directory in which processes of this machine run.
type Sandbox struct {
	id  string
	dir string
	key ssh.Signer

	mu      sync.Mutex
	changed sync.Cond
	record  *datamodelv1.Sandbox
	conns   []net.Conn
	command *process // nil: not started
	output  []chunk
	ended   bool           // the command
	input   io.WriteCloser // of the command
}

// chunk is some output of the command.
type chunk struct {
	stderr bool
	data   []byte
}

// ID names it.
func (s *Sandbox) ID() string { return s.id }

// Dir is its workspace.
func (s *Sandbox) Dir() string { return s.dir }

// Fingerprint of its host key.
func (s *Sandbox) Fingerprint() string { return ssh.FingerprintSHA256(s.key.PublicKey()) }

// Phase it is in.
func (s *Sandbox) Phase() datamodelv1.SandboxPhase { return s.snapshot().GetPhase() }

func (s *Sandbox) snapshot() *datamodelv1.Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return proto.Clone(s.record).(*datamodelv1.Sandbox)
}

func (s *Sandbox) setPhase(to datamodelv1.SandboxPhase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.Phase = to
}

func (s *Sandbox) setStopped(stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.Status.Stopped = stopped
}

// end cuts connections and ends the command.
func (s *Sandbox) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
	if s.command != nil && !s.ended {
		s.command.signal("KILL")
	}
}

func (s *Sandbox) dial(ctx context.Context) (net.Conn, error) {
	if s.Phase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_READY {
		return nil, tunnel.ErrNotReady
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	there, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns = append(s.conns, there)
	s.mu.Unlock()
	go s.serve(there)
	return conn, nil
}

func (s *Sandbox) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(s.key)
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		go s.channel(channel)
	}
}

func (s *Sandbox) channel(n ssh.NewChannel) {
	switch n.ChannelType() {
	case sandboxapi.ChannelExec:
		var e sandboxapi.Exec
		if json.Unmarshal(n.ExtraData(), &e) != nil {
			n.Reject(ssh.ConnectionFailed, "not understood")
			return
		}
		if ch, requests, err := n.Accept(); err == nil {
			p := s.prepare(e.Argv, e.Env, e.TTY)
			if e.Dir != "" {
				p.cmd.Dir = filepath.Join(s.dir, strings.TrimPrefix(e.Dir, sandboxapi.Workspace))
			}
			s.run(ch, requests, p)
		}
	case sandboxapi.ChannelAttach:
		s.attach(n)
	case sandboxapi.ChannelStatus:
		if ch, requests, err := n.Accept(); err == nil {
			go ssh.DiscardRequests(requests)
			s.tellStatus(ch)
		}
	case "session":
		if ch, requests, err := n.Accept(); err == nil {
			s.session(ch, requests)
		}
	case "direct-tcpip":
		s.direct(n)
	default:
		n.Reject(ssh.UnknownChannelType, "unknown")
	}
}

func (s *Sandbox) direct(n ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if ssh.Unmarshal(n.ExtraData(), &to) != nil {
		n.Reject(ssh.ConnectionFailed, "not understood")
		return
	}
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(to.Port)})
	if err != nil {
		n.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, requests, err := n.Accept()
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	go func() {
		io.Copy(conn, ch)
		conn.CloseWrite()
	}()
	io.Copy(ch, conn)
	ch.Close()
}

func (s *Sandbox) session(ch ssh.Channel, requests <-chan *ssh.Request) {
	var tty *sandboxapi.TTY
	env := map[string]string{}
	for r := range requests {
		switch r.Type {
		case "pty-req":
			var m struct {
				Term                      string
				Cols, Rows, Width, Height uint32
				Modes                     string
			}
			ssh.Unmarshal(r.Payload, &m)
			tty = &sandboxapi.TTY{Term: m.Term, Cols: uint16(m.Cols), Rows: uint16(m.Rows)}
			r.Reply(true, nil)
		case "env":
			var m struct{ Name, Value string }
			ssh.Unmarshal(r.Payload, &m)
			env[m.Name] = m.Value
			r.Reply(true, nil)
		case "shell", "exec":
			argv := []string{"sh"}
			if r.Type == "exec" {
				var m struct{ Command string }
				ssh.Unmarshal(r.Payload, &m)
				argv = []string{"sh", "-c", m.Command}
			}
			r.Reply(true, nil)
			s.run(ch, requests, s.prepare(argv, env, tty))
			return
		case "subsystem":
			r.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			sftp.NewRequestServer(ch, files{s.dir}.handlers(), sftp.WithStartDirectory(sandboxapi.Workspace)).Serve()
			sendExit(ch, 0)
			return
		default:
			r.Reply(false, nil)
		}
	}
}

// process is one of this machine, on streams or on a terminal.
type process struct {
	cmd *exec.Cmd
	tty *sandboxapi.TTY
	pty *os.File
}

func (s *Sandbox) prepare(argv []string, env map[string]string, tty *sandboxapi.TTY) *process {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "OPENSHELL_SANDBOX="+s.record.GetName())
	for name, value := range s.record.GetSpec().GetEnvironment() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if tty != nil {
		cmd.Env = append(cmd.Env, "TERM="+tty.Term)
	}
	return &process{cmd: cmd, tty: tty}
}

// start runs it between the streams. stdin may be nil.
func (p *process) start(stdin io.Reader, stdout, stderr io.Writer) (wait func() int, err error) {
	if p.tty != nil {
		if p.pty, err = pty.StartWithSize(p.cmd, &pty.Winsize{Cols: p.tty.Cols, Rows: p.tty.Rows}); err != nil {
			return nil, err
		}
		if stdin != nil {
			go io.Copy(p.pty, stdin)
		}
		copied := make(chan struct{})
		go func() {
			io.Copy(stdout, p.pty)
			close(copied)
		}()
		return func() int {
			err := p.cmd.Wait()
			<-copied
			p.pty.Close()
			return exitCode(err)
		}, nil
	}
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if stdin != nil {
		pipe, err := p.cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		go func() {
			io.Copy(pipe, stdin)
			pipe.Close()
		}()
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return func() int { return exitCode(p.cmd.Wait()) }, nil
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

func (p *process) signal(name string) {
	if p.cmd.Process == nil {
		return
	}
	number := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[name]
	syscall.Kill(-p.cmd.Process.Pid, number)
}

func (p *process) resize(payload []byte) {
	var m struct{ Cols, Rows, Width, Height uint32 }
	if ssh.Unmarshal(payload, &m) == nil && p.pty != nil {
		pty.Setsize(p.pty, &pty.Winsize{Cols: uint16(m.Cols), Rows: uint16(m.Rows)})
	}
}

// control passes on what a client asks of a process, until the channel ends.
func (p *process) control(requests <-chan *ssh.Request) {
	for r := range requests {
		switch r.Type {
		case "signal":
			var m struct{ Name string }
			ssh.Unmarshal(r.Payload, &m)
			p.signal(m.Name)
		case "window-change":
			p.resize(r.Payload)
		}
		if r.WantReply {
			r.Reply(false, nil)
		}
	}
}

func (s *Sandbox) run(ch ssh.Channel, requests <-chan *ssh.Request, p *process) {
	wait, err := p.start(ch, ch, ch.Stderr())
	code := 127
	if err != nil {
		io.WriteString(ch.Stderr(), err.Error()+"\n")
		go ssh.DiscardRequests(requests)
	} else {
		go p.control(requests)
		code = wait()
	}
	sendExit(ch, code)
}

func sendExit(ch ssh.Channel, code int) {
	ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
	ch.Close()
}

// startCommand runs the command of the sandbox, once.
func (s *Sandbox) startCommand(tty *sandboxapi.TTY) {
	spec := s.record.GetSpec()
	if spec.GetTty() && tty == nil {
		tty = &sandboxapi.TTY{Term: "xterm", Cols: 80, Rows: 24}
	}
	if !spec.GetTty() {
		tty = nil
	}
	p := s.prepare(spec.GetCommand(), nil, tty)
	s.command = p
	reader, writer := io.Pipe()
	p.cmd.Env = append(p.cmd.Env, "OPENSHELL_TEST=1")
	s.record.Status.Command = &datamodelv1.CommandStatus{State: datamodelv1.CommandState_COMMAND_STATE_RUNNING, Runs: 1, StartedAtMs: time.Now().UnixMilli()}
	s.input = writer
	var stdin io.Reader
	if spec.GetStdin() {
		stdin = reader
	}
	wait, err := p.start(stdin, replay{s, false}, replay{s, true})
	go func() {
		code := 127
		if err == nil {
			code = wait()
		} else {
			io.WriteString(replay{s, true}, err.Error()+"\n")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.record.Status.Command.State = datamodelv1.CommandState_COMMAND_STATE_EXITED
		s.record.Status.Command.ExitCode = int32(code)
		s.changed.Broadcast()
	}()
}

// replay keeps output for those who attach.
type replay struct {
	s      *Sandbox
	stderr bool
}

func (r replay) Write(p []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.changed.Broadcast()
	r.s.output = append(r.s.output, chunk{r.stderr, bytes.Clone(p)})
	return len(p), nil
}

func (s *Sandbox) attach(n ssh.NewChannel) {
	var a sandboxapi.Attach
	if json.Unmarshal(n.ExtraData(), &a) != nil || len(s.record.GetSpec().GetCommand()) == 0 {
		n.Reject(ssh.ConnectionFailed, "the sandbox has no command")
		return
	}
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	s.mu.Lock()
	if s.command == nil && a.Start {
		s.startCommand(a.TTY)
	}
	p, input := s.command, s.input
	s.mu.Unlock()
	if p == nil {
		sendExit(ch, 1)
		return
	}
	gone := make(chan struct{})
	go func() {
		p.control(requests)
		close(gone)
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	}()
	go func() {
		io.Copy(input, ch)
		select {
		case <-gone:
		default:
			input.Close()
		}
	}()
	for sent := 0; ; {
		s.mu.Lock()
		for len(s.output) == sent && !s.ended && !closed(gone) {
			s.changed.Wait()
		}
		fresh := slices.Clone(s.output[sent:])
		ended, code := s.ended, int(s.record.GetStatus().GetCommand().GetExitCode())
		s.mu.Unlock()
		if closed(gone) {
			return
		}
		for _, c := range fresh {
			if c.stderr {
				ch.Stderr().Write(c.data)
			} else {
				ch.Write(c.data)
			}
		}
		if sent += len(fresh); ended && len(fresh) == 0 {
			sendExit(ch, code)
			return
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *Sandbox) tellStatus(ch ssh.Channel) {
	enc := json.NewEncoder(ch)
	for last := ""; ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		state := sandboxapi.CommandWaiting
		if s.command != nil {
			state = sandboxapi.CommandRunning
		}
		if s.ended {
			state = sandboxapi.CommandExited
		}
		s.mu.Unlock()
		if string(state) == last {
			continue
		}
		last = string(state)
		if enc.Encode(sandboxapi.Status{Command: &sandboxapi.CommandStatus{State: state}}) != nil {
			return
		}
	}
}

// lines are the log of the sandbox: a line of the supervisor, then the
// command's output.
func (s *Sandbox) lines(sources []string) []*openshellv1.SandboxLogLine {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli()
	all := []*openshellv1.SandboxLogLine{{SandboxId: s.id, TimestampMs: at, Level: "info", Message: "listening", Source: sandboxapi.LogSupervisor}}
	for _, c := range s.output {
		for line := range strings.Lines(string(c.data)) {
			at++
			all = append(all, &openshellv1.SandboxLogLine{SandboxId: s.id, TimestampMs: at, Level: "info", Message: strings.TrimSuffix(line, "\n"), Source: sandboxapi.LogCommand})
		}
	}
	var out []*openshellv1.SandboxLogLine
	for _, line := range all {
		if len(sources) == 0 || sources[0] == line.Source {
			out = append(out, line)
		}
	}
	return out
}

// Impersonate has one sandbox show the host key of another.
func (g *Gateway) Impersonate(name, other string) {
	g.Sandbox(name).key = g.Sandbox(other).key
}
