//go:build linux

package supervisor

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/supervisor/proc"
)

// execChannel serves a ChannelExec.
func (s *supervisor) execChannel(request ssh.NewChannel) {
	var e sandboxapi.Exec
	var inline sandboxapi.Inline
	err := json.Unmarshal(request.ExtraData(), &inline)
	if err == nil && inline.DocumentBytes == 0 {
		e, err = parseExec(request.ExtraData())
	}
	if err != nil || inline.DocumentBytes < 0 || inline.DocumentBytes > sandboxapi.MaxDocument {
		refuse(request, "not an Exec in JSON")
		return
	}
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	if n := inline.DocumentBytes; n > 0 {
		document := make([]byte, n)
		if _, err = io.ReadFull(ch, document); err == nil {
			e, err = parseExec(document)
		}
	}
	if err != nil {
		go ssh.DiscardRequests(requests)
		ch.Close()
		return
	}
	s.exec(ch, requests, s.execSpec(e))
}

func parseExec(document []byte) (sandboxapi.Exec, error) {
	var e sandboxapi.Exec
	err := json.Unmarshal(document, &e)
	if err == nil && len(e.Argv) == 0 {
		err = errors.New("no command")
	}
	return e, err
}

func (s *supervisor) execSpec(e sandboxapi.Exec) proc.Spec {
	spec := proc.Spec{Argv: e.Argv, Dir: e.Dir, Stdin: true}
	if !filepath.IsAbs(spec.Dir) {
		spec.Dir = filepath.Join(s.cfg.Workspace, spec.Dir)
	}
	term := ""
	if e.TTY != nil {
		term = e.TTY.Term
		spec.TTY = &proc.Size{Cols: e.TTY.Cols, Rows: e.TTY.Rows}
	}
	spec.Env = s.env.with(e.Env, term)
	return spec
}
