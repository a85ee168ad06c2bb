//go:build linux

package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/supervisor/proc"
)

// exec starts a process for a channel and serves it to its end.
func (s *supervisor) exec(ch ssh.Channel, requests <-chan *ssh.Request, spec proc.Spec) {
	defer ch.Close()
	p, err := s.table.Start(spec)
	if err != nil {
		go ssh.DiscardRequests(requests)
		code := 126
		var unusable *proc.StartError
		if errors.As(err, &unusable) {
			code = unusable.Code
		}
		fmt.Fprintf(ch.Stderr(), "openshell: %v\n", err)
		exitStatus(ch, code)
		return
	}
	serve(ch, requests, p)
	exit(ch, p)
}

// serve connects a process with a channel until the process has ended and its
// output is sent. The end of the channel before that hangs the process up.
func serve(ch ssh.Channel, requests <-chan *ssh.Request, p *proc.Process) {
	defer p.Close()
	go func() {
		for r := range requests {
			answer(r, control(p, r))
		}
		p.Abandon()
	}()
	go func() {
		if _, err := io.Copy(p, ch); err == nil {
			p.CloseWrite()
		}
		io.Copy(io.Discard, ch) //nolint:errcheck // what the process does not read
	}()
	var output sync.WaitGroup
	output.Go(func() { send(ch, p, p.Stdout) })
	output.Go(func() { send(ch.Stderr(), p, p.Stderr) })
	output.Wait()
	ch.CloseWrite() //nolint:errcheck // the client is gone
	<-p.Done()
}

// send copies a stream; what the client does not take any more is dropped.
func send(to io.Writer, p *proc.Process, from *os.File) {
	if p.Copy(to, from) != nil {
		p.Copy(io.Discard, from) //nolint:errcheck // it takes everything
	}
}
