package sandboxssh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// Streams connect a process in a sandbox with this one. Nil readers and
// channels give nothing, nil writers discard. A read of Stdin that is under way
// when the process ends is left alone.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Sizes          <-chan sandboxapi.TTY // of the client's terminal
	Signals        <-chan string         // names as in RFC 4254: INT, TERM, HUP
}

// parting is how long a cancelled process's channel may take to close.
const parting = time.Second

// Exec runs a process of the sandbox user. Its exit code is 128 + n after
// signal n, 127 or 126 when it cannot be started (and Stderr says why). Without
// Stdin it reads nothing. When ctx ends it gets SIGHUP.
func (c *Client) Exec(ctx context.Context, e sandboxapi.Exec, s Streams) (int, error) {
	document, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	if s.Stdin == nil {
		s.Stdin = eof{}
	}
	if len(document) <= sandboxapi.MaxExtra {
		return c.run(ctx, sandboxapi.ChannelExec, document, s, nil)
	}
	// An SSH packet cannot hold it.
	extra, err := json.Marshal(sandboxapi.Inline{DocumentBytes: len(document)})
	if err != nil {
		return 0, err
	}
	return c.run(ctx, sandboxapi.ChannelExec, extra, s, func(ch ssh.Channel) error {
		_, err := ch.Write(document)
		return err
	})
}

// Attach shows the sandbox's command: its output so far, then as it comes, then
// its end. The end of Stdin ends the command's input if it has one of its own;
// without Stdin that stays open for others. When ctx ends the command goes on.
func (c *Client) Attach(ctx context.Context, a sandboxapi.Attach, s Streams) (int, error) {
	document, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	return c.run(ctx, sandboxapi.ChannelAttach, document, s, nil)
}

// Shell runs a login shell on a terminal.
func (c *Client) Shell(ctx context.Context, tty sandboxapi.TTY, env map[string]string, s Streams) (int, error) {
	if s.Stdin == nil {
		s.Stdin = eof{}
	}
	return c.run(ctx, "session", nil, s, func(ch ssh.Channel) error {
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if _, err := ch.SendRequest("env", false, ssh.Marshal(setenv{name, env[name]})); err != nil {
				return err
			}
		}
		terminal := ptyRequest{Term: tty.Term, Cols: uint32(tty.Cols), Rows: uint32(tty.Rows), Modes: "\x00"}
		for _, r := range []struct {
			name    string
			payload []byte
		}{{"pty-req", ssh.Marshal(terminal)}, {"shell", nil}} {
			ok, err := ch.SendRequest(r.name, true, r.payload)
			if err != nil {
				return err
			}
			if !ok {
				return &Refused{fmt.Sprintf("the sandbox refused %q", r.name)}
			}
		}
		return nil
	})
}

// run opens a channel, prepares it, and copies until the process has ended.
func (c *Client) run(ctx context.Context, kind string, extra []byte, s Streams, prepare func(ssh.Channel) error) (int, error) {
	ch, requests, err := c.open(ctx, kind, extra)
	if err != nil {
		return 0, err
	}
	p := &process{ch: ch, ended: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.follow(requests, s)
	}()
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		ch.Close()
		time.AfterFunc(parting, func() { close(cancelled) })
	})
	defer stop()
	go func() {
		if prepare != nil {
			if err := prepare(ch); err != nil {
				p.fail(err)
				return
			}
		}
		go p.control(s)
		p.feed(s.Stdin)
	}()
	select {
	case <-ended:
		return p.result(ctx)
	case <-cancelled: // the connection does not even carry a close
		return 0, ctx.Err()
	}
}

// process is the client's end of a process's channel.
type process struct {
	ch    ssh.Channel
	ended chan struct{} // closed with the requests: nothing can be sent any more

	mu   sync.Mutex
	err  error
	code *int
}

func (p *process) fail(err error) {
	p.mu.Lock()
	p.err = cmp.Or(p.err, err)
	p.mu.Unlock()
	p.ch.Close()
}

// follow returns when the channel is closed and all output has been written.
func (p *process) follow(requests <-chan *ssh.Request, s Streams) {
	var copies sync.WaitGroup
	copies.Go(func() { p.copy(s.Stdout, p.ch) })
	copies.Go(func() { p.copy(s.Stderr, p.ch.Stderr()) })
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var m exitStatus
			if ssh.Unmarshal(r.Payload, &m) == nil {
				p.exit(int(m.Code))
			}
		case "exit-signal":
			var m exitSignal
			if ssh.Unmarshal(r.Payload, &m) == nil {
				p.exit(128 + signalNumber(m.Name))
			}
		}
		if r.WantReply {
			r.Reply(false, nil) //nolint:errcheck // the connection ended: so do the requests
		}
	}
	close(p.ended)
	copies.Wait()
}

func (p *process) exit(code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code = &code
}

func (p *process) copy(to io.Writer, from io.Reader) {
	if to == nil {
		to = io.Discard
	}
	if _, err := io.Copy(to, from); err != nil {
		p.fail(err)
		io.Copy(io.Discard, from) //nolint:errcheck // lets the channel close
	}
}

func (p *process) feed(stdin io.Reader) {
	if stdin == nil {
		return
	}
	_, err := io.Copy(p.ch, stdin)
	select {
	case <-p.ended: // that the process does not read any more is no failure
		return
	default:
	}
	if err == nil || errors.Is(err, io.EOF) { // io.EOF: the process closed its end
		p.ch.CloseWrite() //nolint:errcheck // nothing is left to say to it
		return
	}
	p.fail(err)
}

func (p *process) control(s Streams) {
	for {
		var name string
		var payload []byte
		select {
		case <-p.ended:
			return
		case size, ok := <-s.Sizes:
			if !ok {
				s.Sizes = nil
				continue
			}
			name, payload = "window-change", ssh.Marshal(windowChange{Cols: uint32(size.Cols), Rows: uint32(size.Rows)})
		case signal, ok := <-s.Signals:
			if !ok {
				s.Signals = nil
				continue
			}
			name, payload = "signal", ssh.Marshal(signalRequest{signal})
		}
		if _, err := p.ch.SendRequest(name, false, payload); err != nil {
			return
		}
	}
}

func (p *process) result(ctx context.Context) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.code != nil && p.err == nil:
		return *p.code, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case p.err != nil:
		return 0, p.err
	}
	return 0, ErrNoExit
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
