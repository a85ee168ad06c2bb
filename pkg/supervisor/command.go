//go:build linux

package supervisor

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/supervisor/journal"
	"openshell.ai/openshell/pkg/supervisor/proc"
)

// command is the sandbox's command through its life.
type command struct {
	spec    sandboxapi.Command
	log     *slog.Logger
	table   *proc.Table
	journal *journal.Journal
	records recordFile
	dir     string
	env     environment

	changed notice        // of anything below
	settled chan struct{} // closed when nothing more will be recorded

	mu      sync.Mutex
	status  sandboxapi.CommandStatus // what is told; it is recorded before
	held    bool
	current *running  // the run there is to attach to, or nil
	stopped time.Time // zero: not

	attached   int // clients
	detachedAt time.Time
}

// running is one run of the command.
type running struct {
	number  int
	process *proc.Process // nil for one of an earlier life
	over    chan struct{} // closed when its end is recorded and its output is complete
	code    int           // meaningful after over
	ended   bool          // it ended by itself: code is meaningful
}

const (
	defaultTerm = "xterm-256color"
	defaultCols = 80
	defaultRows = 24
	// recording is how long others wait for the record of an end that cannot
	// be written; it is tried on after that.
	recording      = 10 * time.Second
	recordingAgain = time.Second
)

// begin takes up the command where the last supervisor left it.
func (c *command) begin() {
	recorded, failure := c.records.load()
	if recorded == nil && failure == nil && !c.journal.Empty() {
		failure = errLost
	}
	if failure != nil {
		c.log.Error("command is not run", "error", failure)
	}
	status, next := decide(c.spec, recorded, failure)
	c.mu.Lock()
	c.status, c.held = status, next == hold
	if status.State == sandboxapi.CommandExited {
		c.current = &running{number: status.Runs, over: make(chan struct{}), code: status.ExitCode, ended: true}
		close(c.current.over)
	}
	c.mu.Unlock()
	switch next {
	case run:
		go c.run(nil, recorded != nil)
	case stay:
		defer close(c.settled)
		if recorded != nil && recorded.State != status.State {
			if err := c.records.save(status); err != nil {
				c.log.Error("command", "error", err)
			}
		}
	}
}

// start lets a held command run. Its terminal is the client's.
func (c *command) start(tty *sandboxapi.TTY) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.held = false
		go c.run(tty, false)
	}
}

// stop is called when the processes are about to be ended: a command that ends
// from now on is interrupted. A held one has nothing to settle.
func (c *command) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = time.Now()
	if c.held {
		c.held = false
		close(c.settled)
	}
}

// run runs the command to its end, whatever that is. known says that an earlier
// record of it as running is there, should this one fail.
func (c *command) run(tty *sandboxapi.TTY, known bool) {
	defer close(c.settled)
	c.mu.Lock()
	status := sandboxapi.CommandStatus{
		State: sandboxapi.CommandRunning, Runs: c.status.Runs + 1, StartedAt: time.Now().UTC(),
	}
	c.mu.Unlock()
	// Before it starts: a command that must not run twice could otherwise.
	if err := c.records.save(status); err != nil {
		c.log.Error("command", "error", err)
		if !known {
			status.State, status.Message = sandboxapi.CommandInterrupted, err.Error()
			c.tell(status, nil)
			return
		}
	}
	p, err := c.table.Start(c.process(tty))
	var unusable *proc.StartError
	switch {
	case errors.As(err, &unusable):
		status.State, status.ExitCode, status.Message = sandboxapi.CommandExited, unusable.Code, unusable.Message
		status.EndedAt = time.Now().UTC()
		c.journal.Append(journal.Record{At: status.EndedAt, Run: status.Runs, Stream: journal.Stderr, Data: []byte(unusable.Message + "\n")})
		c.finish(status, &running{number: status.Runs, over: make(chan struct{})}, nil)
	case err != nil:
		c.log.Error("command", "error", err)
		status.State, status.Message = sandboxapi.CommandInterrupted, err.Error()
		c.finish(status, &running{number: status.Runs, over: make(chan struct{})}, nil)
	default:
		c.follow(p, status)
	}
}

func (c *command) process(tty *sandboxapi.TTY) proc.Spec {
	s := proc.Spec{Argv: c.spec.Argv, Dir: c.dir, Stdin: c.spec.Stdin}
	terminal := ""
	if c.spec.TTY {
		terminal, s.TTY = defaultTerm, &proc.Size{Cols: defaultCols, Rows: defaultRows}
		if tty != nil && tty.Term != "" {
			terminal = tty.Term
		}
		if tty != nil && tty.Cols > 0 && tty.Rows > 0 {
			s.TTY = &proc.Size{Cols: tty.Cols, Rows: tty.Rows}
		}
	}
	s.Env = c.env.with(nil, terminal)
	return s
}

func (c *command) follow(p *proc.Process, status sandboxapi.CommandStatus) {
	r := &running{number: status.Runs, process: p, over: make(chan struct{})}
	c.log.Info("command started", "run", r.number)
	c.tell(status, r)
	var output sync.WaitGroup
	output.Go(func() { p.Copy(&writer{c.journal, r.number, journal.Stdout}, p.Stdout) }) //nolint:errcheck // a journal takes everything
	output.Go(func() { p.Copy(&writer{c.journal, r.number, journal.Stderr}, p.Stderr) }) //nolint:errcheck // see above
	<-p.Done()
	status.EndedAt = p.EndedAt().UTC()
	c.mu.Lock()
	interrupted := !c.stopped.IsZero() && p.EndedAt().After(c.stopped)
	c.mu.Unlock()
	if interrupted {
		status.State = sandboxapi.CommandInterrupted
	} else {
		status.State, status.ExitCode = sandboxapi.CommandExited, p.ExitCode()
	}
	c.finish(status, r, func() {
		output.Wait()
		p.Close()
	})
}

// finish records an end, then waits for the output, then tells both. It returns
// when the end is recorded, however late.
func (c *command) finish(status sandboxapi.CommandStatus, r *running, complete func()) {
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		for {
			err := c.records.save(status)
			if err == nil {
				return
			}
			c.log.Error("command", "error", err)
			time.Sleep(recordingAgain)
		}
	}()
	told := status
	select {
	case <-recorded:
	case <-time.After(recording):
		told.Message = "its end could not be recorded: it may run again"
	}
	if complete != nil {
		complete()
	}
	if err := c.journal.Sync(); err != nil {
		c.log.Warn("command", "error", err)
	}
	c.log.Info("command ended", "run", r.number, "state", string(status.State), "code", status.ExitCode)
	r.code, r.ended = status.ExitCode, status.State == sandboxapi.CommandExited
	close(r.over)
	c.tell(told, r)
	<-recorded
	c.tell(status, r)
}

func (c *command) tell(status sandboxapi.CommandStatus, r *running) {
	c.mu.Lock()
	c.status, c.current = status, r
	c.mu.Unlock()
	c.changed.raise()
}

// join counts a client that attaches, until it calls what is returned.
func (c *command) join() (leave func()) {
	c.mu.Lock()
	c.attached++
	c.mu.Unlock()
	c.changed.raise()
	return func() {
		c.mu.Lock()
		c.attached--
		c.detachedAt = time.Now().UTC()
		c.mu.Unlock()
		c.changed.raise()
	}
}

// audience returns how many clients are attached, and when the last went.
func (c *command) audience() (attached int, detachedAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attached, c.detachedAt
}

// look returns what is told of the command, and the run to attach to.
func (c *command) look() (sandboxapi.CommandStatus, *running) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.current
}

// writer appends the output of a stream.
type writer struct {
	to     *journal.Journal
	run    int
	stream journal.Stream
}

func (w *writer) Write(b []byte) (int, error) {
	w.to.Append(journal.Record{At: time.Now(), Run: w.run, Stream: w.stream, Data: b})
	return len(b), nil
}
