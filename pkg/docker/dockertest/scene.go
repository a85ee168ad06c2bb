package dockertest

import (
	"fmt"
	"time"

	"openshell.ai/openshell/pkg/docker"
)

// Inspect is Container without a record or faults; ok is false if it is absent.
func (f *Fake) Inspect(ref string) (c docker.Container, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.find(ref)
	if found == nil {
		return docker.Container{}, false
	}
	return found.snapshot(), true
}

// Spec is what a container was created with. It panics if it is absent.
func (f *Fake) Spec(ref string) docker.ContainerSpec {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.must(ref).spec
}

// SetState forces a container's state, as no single call could.
func (f *Fake) SetState(ref string, state docker.ContainerState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.must(ref).State = state
	f.notify()
}

// Edit changes a container as inspected, e.g. its labels or restart count.
func (f *Fake) Edit(ref string, change func(*docker.Container)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.must(ref).Container)
	f.notify()
}

// Exit ends a container's process. The restart policies always and
// unless-stopped, and on-failure after a code other than 0, start it again and
// count a restart.
func (f *Fake) Exit(ref string, code int) {
	f.mu.Lock()
	c := f.must(ref)
	f.exited(c, code)
	p := c.RestartPolicy
	again := p == "always" || p == "unless-stopped" || (p == "on-failure" && code != 0)
	if again {
		c.Restarts++
		again = f.start(c) == nil
	}
	f.mu.Unlock()
	if again {
		f.afterStart(c)
	}
}

// Kill ends a container's process with SIGKILL by a user's hand, as `docker
// kill` does: the restart policy does not apply.
func (f *Fake) Kill(ref string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.must(ref)
	c.byUser = true
	f.exited(c, 137)
}

// Remove removes a container by a user's hand, as `docker rm -f` does.
func (f *Fake) Remove(ref string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(f.must(ref))
	f.notify()
}

// RestartEngine stops everything and starts again what its restart policy says.
func (f *Fake) RestartEngine() {
	f.mu.Lock()
	var again []*container
	for _, c := range f.containers {
		wasRunning := c.running()
		if wasRunning {
			c.State, c.ExitCode = docker.StateExited, 0
		}
		p := c.RestartPolicy
		if p == "always" || (p == "unless-stopped" && !c.byUser && wasRunning) {
			if f.start(c) == nil {
				again = append(again, c)
			}
		}
	}
	f.notify()
	f.mu.Unlock()
	for _, c := range again {
		f.afterStart(c)
	}
}

// OccupyPort makes a process of the host hold a port (proto tcp or udp), or
// release it.
func (f *Fake) OccupyPort(port int, proto string, held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.occupied[portKey{port, proto}] = held
}

func (f *Fake) must(ref string) *container {
	c := f.find(ref)
	if c == nil {
		panic(fmt.Sprintf("dockertest: no container %q", ref))
	}
	return c
}

type logLine struct {
	at   time.Time
	text string
}

// Log appends a line to a container's log.
func (f *Fake) Log(ref, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.must(ref)
	c.log = append(c.log, logLine{f.now, line})
	f.notify()
}
