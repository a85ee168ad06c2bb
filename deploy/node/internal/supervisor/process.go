package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

// process keeps one program running.
type process struct {
	spec Spec
	sup  *Supervisor

	mu       sync.Mutex
	pid      int
	state    string
	restarts int
	lastExit string
	readyCh  chan struct{} // closed while this run is ready
	stopping chan struct{}
	stopped  chan struct{}
	stopOnce sync.Once
}

func newProcess(spec Spec, sup *Supervisor) *process {
	return &process{
		spec: spec, sup: sup, state: "waiting",
		readyCh: make(chan struct{}), stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
}

func (p *process) keepRunning(ctx context.Context) {
	defer close(p.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()

	backoff := backoffMin
	for {
		p.set(func() { p.state = "waiting" })
		// A process that waits for nothing must not start while it is stopped.
		if err := errors.Join(p.sup.waitReady(ctx, p.spec.After), ctx.Err()); err != nil {
			p.set(func() { p.state = "stopped" })
			return
		}
		began := time.Now()
		exit, err := p.runOnce(ctx)
		if ctx.Err() != nil {
			p.set(func() { p.pid, p.state = 0, "stopped" })
			return
		}
		if err != nil {
			exit = err.Error()
		}
		if time.Since(began) > settled {
			backoff = backoffMin
		}
		p.set(func() { p.pid, p.state, p.lastExit, p.restarts = 0, "backoff", exit, p.restarts+1 })
		fmt.Fprintf(p.sup.log, "%s | ended: %s; it starts again in %s\n", p.spec.Name, exit, backoff)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// runOnce runs the program until it ends and says how it ended.
func (p *process) runOnce(ctx context.Context) (string, error) {
	if p.spec.Await != nil {
		if err := p.spec.Await(ctx); err != nil {
			return "", err
		}
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return "", err
	}
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return "", errors.Join(err, outR.Close(), outW.Close())
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return "", errors.Join(err, outR.Close(), outW.Close(), reportR.Close(), reportW.Close())
	}
	pid, done, err := p.sup.reaper.start(p.spec.Path, append([]string{p.spec.Path}, p.spec.Args...), &syscall.ProcAttr{
		Env:   append(os.Environ(), p.spec.Env...),
		Files: []uintptr{null.Fd(), outW.Fd(), outW.Fd(), reportW.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	// The child has its own copies now; ours would keep the pipes open.
	closed := errors.Join(null.Close(), outW.Close(), reportW.Close())
	if err != nil {
		return "", errors.Join(err, closed, outR.Close(), reportR.Close())
	}
	p.set(func() { p.pid, p.state = pid, "running" })

	tail := make(chan string, 1)
	go func() { tail <- p.copyOutput(outR) }()
	go p.copyReports(reportR)

	run, cancel := context.WithCancel(ctx)
	defer cancel()
	go p.probe(run)

	status := p.await(done)
	cancel()
	p.set(func() {
		select {
		case <-p.readyCh:
			p.readyCh = make(chan struct{})
		default:
		}
	})
	return describe(status, p.lastLine(tail)), nil
}

// await returns when the program has ended, by itself or because of stop.
func (p *process) await(done <-chan syscall.WaitStatus) syscall.WaitStatus {
	select {
	case status := <-done:
		return status
	case <-p.stopping:
	}
	p.signal(syscall.SIGTERM)
	select {
	case status := <-done:
		return status
	case <-time.After(p.spec.Grace):
		p.signal(syscall.SIGKILL)
		return <-done
	}
}

// lastLine waits briefly: a grandchild may hold the output open for ever.
func (p *process) lastLine(tail <-chan string) string {
	select {
	case line := <-tail:
		return line
	case <-time.After(100 * time.Millisecond):
		return ""
	}
}

func (p *process) copyOutput(r *os.File) string {
	defer r.Close()
	reason := newReason()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		reason.see(lines.Text())
		fmt.Fprintf(p.sup.log, "%s | %s\n", p.spec.Name, lines.Bytes())
	}
	drain(r)
	return reason.line()
}

func (p *process) copyReports(r *os.File) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.sup.observer.Report(p.spec.Name, lines.Bytes())
	}
	drain(r)
}

// drain reads on after a line that was too long: a program whose output nobody
// reads is ended by the next thing it says.
func drain(r io.Reader) {
	_, _ = io.Copy(io.Discard, r)
}

// probe asks until the program is ready.
func (p *process) probe(ctx context.Context) {
	for began := time.Now(); p.spec.Ready != nil; {
		if p.spec.Ready(ctx) == nil {
			break
		}
		every := probeEvery
		if time.Since(began) > probeFastFor {
			every = probeSlowly
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
	p.set(func() {
		if ctx.Err() == nil {
			p.state = "ready"
			close(p.readyCh)
		}
	})
}

func (p *process) waitReady(ctx context.Context) error {
	p.mu.Lock()
	ready := p.readyCh
	p.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *process) stop() {
	p.stopOnce.Do(func() { close(p.stopping) })
	if p.spec.Spent == nil {
		<-p.stopped
		return
	}
	poll := time.NewTicker(probeEvery)
	defer poll.Stop()
	for {
		select {
		case <-p.stopped:
			return
		case <-poll.C:
			if p.spec.Spent() {
				return
			}
		}
	}
}

// signal reaches the program's whole process group.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	pid := p.pid
	p.mu.Unlock()
	if pid > 0 {
		// An error means that it has just ended.
		_ = syscall.Kill(-pid, sig)
	}
}

// set changes the state and reports it, in one step so that reports come in
// the order of the changes.
func (p *process) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	c := nodeapi.Component{Name: p.spec.Name, State: p.state, PID: p.pid, Restarts: p.restarts, LastExit: p.lastExit}
	p.sup.observer.Component(c)
}
