package cli

import (
	"sync"
	"time"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
)

// steps reports what a command does by itself, in the manner of package
// bootstrap, whose events it also takes. Several may report at once.
type steps struct {
	now func() time.Time

	mu       sync.Mutex
	progress render.Progress
}

func (d *Deps) steps(o output) *steps {
	return &steps{now: d.Now, progress: d.progress(o)}
}

func (s *steps) Event(e bootstrap.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress != nil {
		s.progress.Event(e)
	}
}

// Close ends the display. Nothing is shown afterwards.
func (s *steps) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress != nil {
		s.progress.Close()
		s.progress = nil
	}
}

// begin shows that a step runs. end is called when it is over; only what
// changed something stays on the screen, and of what failed the error speaks.
func (s *steps) begin(name, cause string) (end func(changed bool)) {
	started := s.now()
	s.Event(bootstrap.Event{At: started, Kind: bootstrap.StepStarted, Step: name, Cause: cause})
	return func(changed bool) {
		now := s.now()
		s.Event(bootstrap.Event{At: now, Kind: bootstrap.StepDone, Step: name, Changed: changed, Elapsed: now.Sub(started)})
	}
}

func (s *steps) detail(step, message string) {
	s.Event(bootstrap.Event{At: s.now(), Kind: bootstrap.StepProgress, Step: step, Message: message})
}

func (s *steps) note(message string) {
	s.Event(bootstrap.Event{At: s.now(), Kind: bootstrap.Note, Message: message})
}

func (s *steps) warn(message string) {
	s.Event(bootstrap.Event{At: s.now(), Kind: bootstrap.Warning, Message: message})
}

// meter shows every so often where something stands, until stop is called.
// Lines that cannot be drawn over are not worth it.
func (d *Deps) meter(s *steps, o output, step string, stands func() string) (stop func()) {
	if !d.Live && !o.json() {
		return func() {}
	}
	every := render.DefaultTick
	if o.json() {
		every = time.Second
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				s.detail(step, stands())
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

// report writes an error that is not the command's last word.
func (d *Deps) report(o output, err error) {
	if o.json() {
		render.ErrorJSON(d.Err, err)
		return
	}
	render.Error(d.Err, d.Color, err)
}

var _ bootstrap.Sink = (*steps)(nil)
