package supervisor

import (
	"context"
	"io"
	"sync"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	probeEvery   = 10 * time.Millisecond
	probeSlowly  = 250 * time.Millisecond // after probeFastFor
	probeFastFor = 10 * time.Second
	backoffMin   = 100 * time.Millisecond
	backoffMax   = 10 * time.Second
	settled      = 30 * time.Second // a process that ran this long starts again at once
)

// Spec is one process of the node.
type Spec struct {
	Name  string
	Path  string
	Args  []string                    // without the program's name
	Env   []string                    // added to the node's environment
	After []string                    // names of processes that must be ready first
	Await func(context.Context) error // nil: nothing; else what else to wait for before every start
	Ready func(context.Context) error // nil: ready as soon as it runs
	Grace time.Duration               // between SIGTERM and SIGKILL
	Spent func() bool                 // nil: when it has ended; else whether the next may be stopped while it tidies up
}

// Observer is told what happens. Its methods are called from many goroutines.
type Observer interface {
	Component(nodeapi.Component)
	Report(component string, line []byte) // a line the process wrote to file descriptor 3
}

// Supervisor runs processes.
type Supervisor struct {
	reaper   *reaper
	observer Observer
	log      io.Writer
	procs    map[string]*process
	order    []*process
	running  sync.WaitGroup
}

// New returns a supervisor of the processes, which are stopped in the reverse
// of the given order. Their output goes to log, a line at a time, each with the
// process's name in front.
func New(specs []Spec, observer Observer, log io.Writer) *Supervisor {
	s := &Supervisor{reaper: newReaper(), observer: observer, log: &lockedWriter{w: log}, procs: map[string]*process{}}
	for _, spec := range specs {
		p := newProcess(spec, s)
		s.procs[spec.Name] = p
		s.order = append(s.order, p)
	}
	return s
}

// Start runs every process until Stop. It returns at once.
func (s *Supervisor) Start(ctx context.Context) {
	for _, p := range s.order {
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			p.keepRunning(ctx)
		}()
	}
}

// Restart ends a process, gently, that is started again as one that ended by
// itself.
func (s *Supervisor) Restart(name string) { s.procs[name].signal(syscall.SIGTERM) }

// Stop ends the processes one after the other, the last started first, and
// waits for each: until it has ended, or for the moment until it is spent.
func (s *Supervisor) Stop() {
	for i := len(s.order) - 1; i >= 0; i-- {
		s.order[i].stop()
	}
	s.running.Wait()
}

// waitReady returns when the named processes are ready.
func (s *Supervisor) waitReady(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := s.procs[name].waitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
