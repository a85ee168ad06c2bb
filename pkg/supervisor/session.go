//go:build linux

package supervisor

import (
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/supervisor/proc"
)

// maxSetenv bounds the variables that a client can set on a session.
const maxSetenv = 1000

// session serves a channel "session" of SSH: what it is asked before the
// request that starts a process, and that one.
func (s *supervisor) session(request ssh.NewChannel) {
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	env := environment{}
	var tty *proc.Size
	term := ""
	for r := range requests {
		switch r.Type {
		case "env":
			var m setenv
			ok := ssh.Unmarshal(r.Payload, &m) == nil && len(env) < maxSetenv
			if ok {
				env.set(m.Name, m.Value)
			}
			answer(r, ok)
			continue
		case "pty-req":
			var m ptyRequest
			ok := ssh.Unmarshal(r.Payload, &m) == nil
			if ok {
				term = m.Term
				initial := size(m.Cols, m.Rows)
				tty = &initial
			}
			answer(r, ok)
			continue
		}
		spec, ok := s.program(r)
		answer(r, ok)
		if !ok {
			continue
		}
		spec.TTY, spec.Env, spec.Dir, spec.Stdin = tty, s.env.with(env, term), s.cfg.Workspace, true
		s.exec(ch, requests, spec)
		return
	}
	ch.Close() // the client went before it asked for anything
}

// program is what a request of a session starts.
func (s *supervisor) program(r *ssh.Request) (proc.Spec, bool) {
	var m text
	shell := s.account.Shell
	switch r.Type {
	case "shell":
		return proc.Spec{Path: shell, Argv: []string{"-" + filepath.Base(shell)}}, true
	case "exec":
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return proc.Spec{}, false
		}
		return proc.Spec{Path: shell, Argv: []string{filepath.Base(shell), "-c", m.Value}}, true
	case "subsystem":
		if ssh.Unmarshal(r.Payload, &m) != nil || m.Value != "sftp" {
			return proc.Spec{}, false
		}
		return self(verbSFTP), true
	}
	return proc.Spec{}, false
}
