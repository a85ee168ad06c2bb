//go:build linux

package supervisor

import (
	"encoding/json"
	"io"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/supervisor/journal"
	"openshell.ai/openshell/pkg/supervisor/proc"
)

// attach serves a ChannelAttach.
func (s *supervisor) attach(request ssh.NewChannel) {
	var a sandboxapi.Attach
	if err := json.Unmarshal(request.ExtraData(), &a); err != nil {
		refuse(request, "not an Attach in JSON")
		return
	}
	if s.command == nil {
		refuse(request, "the sandbox has no command")
		return
	}
	if status, run := s.command.look(); status.State == sandboxapi.CommandInterrupted && run == nil {
		refuse(request, "the command was interrupted and is not run again: "+status.Message)
		return
	}
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	defer s.command.join()()
	defer ch.Close()
	if a.Start {
		s.command.start(a.TTY)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for r := range requests {
			_, run := s.command.look()
			answer(r, run != nil && run.process != nil && control(run.process, r))
		}
	}()
	run := s.command.await(gone)
	if run == nil {
		return
	}
	if run.process != nil {
		if a.TTY != nil {
			run.process.Resize(proc.Size{Cols: a.TTY.Cols, Rows: a.TTY.Rows})
		}
		go s.command.feed(run.process, ch)
	}
	if s.command.show(run, ch, gone) && run.ended {
		exitStatus(ch, run.code)
	}
}

// await returns the run to attach to, once there is one; nil when the client
// goes first, or when there will be none.
func (c *command) await(gone <-chan struct{}) *running {
	for {
		changed := c.changed.wait()
		status, run := c.look()
		if run != nil || status.State == sandboxapi.CommandInterrupted {
			return run
		}
		select {
		case <-changed:
		case <-gone:
			return nil
		}
	}
}

// feed passes on what a client types, if the command reads it at all.
func (c *command) feed(p *proc.Process, ch ssh.Channel) {
	if !c.spec.Stdin {
		io.Copy(io.Discard, ch) //nolint:errcheck // ends with the channel
		return
	}
	if _, err := io.Copy(p, ch); err == nil {
		p.CloseWrite()
	}
	io.Copy(io.Discard, ch) //nolint:errcheck // see above
}

// show sends the output of a run to its end. It returns false if the client did
// not take it.
func (c *command) show(run *running, ch ssh.Channel, gone <-chan struct{}) bool {
	reader := c.journal.Attach()
	defer reader.Close()
	shown := make(chan struct{})
	defer close(shown)
	go func() {
		select {
		case <-reader.Lost():
			c.log.Warn("attached client is dropped: it does not take the output")
			ch.Close()
		case <-shown:
		}
	}()
	for {
		more := reader.More()
		over := isClosed(run.over)
		record, ok := reader.Next()
		switch {
		case ok && record.Run == run.number:
			out := io.Writer(ch)
			if record.Stream == journal.Stderr {
				out = ch.Stderr()
			}
			if _, err := out.Write(record.Data); err != nil {
				return false
			}
		case ok: // of another run
		case over:
			return true
		default:
			select {
			case <-more:
			case <-run.over:
			case <-gone:
				return false
			}
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
