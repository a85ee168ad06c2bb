// Package dockertest is a Docker Engine in memory, for tests of code that uses
// docker.Engine. It keeps the semantics that resuming a gateway depends on and
// is compared with a real engine by the tests of package docker.
package dockertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/docker"
)

var _ docker.Engine = (*Fake)(nil)

// Fake is a docker.Engine. Its methods beyond that interface set the scene:
// they are neither recorded nor subject to injected faults. Time starts at
// Epoch and moves by one second with every recorded call.
type Fake struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change of state
	now     time.Time
	serial  int

	info       docker.Info
	containers []*container
	volumes    map[string]*volume
	networks   []*docker.Network
	images     []*image
	occupied   map[portKey]bool // host ports held by processes

	calls     []Call
	faults    []*fault
	intercept func(Call) error

	onStart      func(*Fake, docker.Container)
	onExec       func(*Fake, docker.Container, docker.ExecSpec) (int, error)
	onExecStream func(*Fake, docker.Container, []string) (io.ReadWriteCloser, error)
}

// Epoch is the fake's first moment.
var Epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Call is one recorded call of a docker.Engine method.
type Call struct {
	Op   string // the method's name
	Ref  string // its first argument: name, id, or "" where it has none
	Note string // what else tells calls apart: the path of a file, the argv of an exec
}

// String is "Op Ref Note" without trailing spaces.
func (c Call) String() string {
	s := c.Op
	for _, part := range []string{c.Ref, c.Note} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}

type fault struct {
	op    string
	after int // calls to let pass; negative: every call fails
	err   error
	lose  bool
	done  bool
}

// New returns an engine with the networks bridge, host and none and nothing else.
func New() *Fake {
	f := &Fake{
		changed:  make(chan struct{}),
		now:      Epoch,
		volumes:  map[string]*volume{},
		occupied: map[portKey]bool{},
		info: docker.Info{
			Endpoint: "unix:///var/run/docker.sock", ServerVersion: "20.10.24", APIVersion: "1.41",
			OS: "linux", Arch: "amd64", Kernel: "6.1.0", StorageDriver: "overlay2", CgroupVersion: 2,
			NCPU: 2, MemTotal: 8 << 30,
		},
	}
	for _, name := range []string{"bridge", "host", "none"} {
		f.networks = append(f.networks, &docker.Network{ID: f.id("network"), Name: name, Driver: builtinDriver(name)})
	}
	return f
}

// Fail makes the nth call of the method op from now on return err without
// having an effect. The next call is the first; nth 0 means every call.
func (f *Fake) Fail(op string, nth int, err error) { f.inject(op, nth, err, false) }

// LoseAnswer makes the nth call of the method op from now on have its effect
// and then report the engine unreachable, as when the connection breaks.
func (f *Fake) LoseAnswer(op string, nth int) {
	f.inject(op, nth, docker.NewError(docker.Unreachable, op, "", "unexpected EOF"), true)
}

func (f *Fake) inject(op string, nth int, err error, lose bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault{op: op, after: nth - 1, err: err, lose: lose})
}

// Intercept calls hook before every recorded call. An error it returns is the
// call's answer, and the call has no effect. nil removes the hook.
func (f *Fake) Intercept(hook func(Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intercept = hook
}

// OnStart sets a hook that plays a container's process: it runs whenever a
// container has started, before StartContainer returns.
func (f *Fake) OnStart(hook func(*Fake, docker.Container)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onStart = hook
}

// OnExec sets the hook that plays the commands of Exec. Without one every
// command exits with 127.
func (f *Fake) OnExec(hook func(*Fake, docker.Container, docker.ExecSpec) (exitCode int, err error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onExec = hook
}

// OnExecStream sets the hook that plays the commands of ExecStream. Without
// one every stream is at its end.
func (f *Fake) OnExecStream(hook func(*Fake, docker.Container, []string) (io.ReadWriteCloser, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onExecStream = hook
}

// Calls are the recorded calls, in order.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Changes are the recorded calls that may change something, in order. Exec is
// not among them: what it changes is the command's affair.
func (f *Fake) Changes() []Call {
	return slices.DeleteFunc(f.Calls(), func(c Call) bool { return reads(c.Op) })
}

// ResetCalls forgets the recorded calls.
func (f *Fake) ResetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// reads reports whether the calls of a method change nothing.
func reads(op string) bool {
	switch op {
	case "Info", "Container", "Containers", "WaitContainer", "WaitRemoved", "Logs", "ReadFile", "Exec", "ExecStream",
		"Volume", "Volumes", "Network", "Networks", "Image", "Images", "SaveImage", "Close":
		return true
	}
	return false
}

// SetInfo replaces what Info answers; SystemTime is the fake's clock.
func (f *Fake) SetInfo(info docker.Info) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.info = info
}

// Now is the fake's clock.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the fake's clock.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// Endpoint implements docker.Engine.
func (f *Fake) Endpoint() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.info.Endpoint
}

// Info implements docker.Engine.
func (f *Fake) Info(ctx context.Context) (docker.Info, error) {
	return do(ctx, f, Call{Op: "Info"}, func() (docker.Info, error) {
		info := f.info
		info.SystemTime = f.now
		return info, nil
	})
}

// Close implements docker.Engine.
func (f *Fake) Close() error {
	return do0(context.Background(), f, Call{Op: "Close"}, func() error { return nil })
}

// do records the call, applies faults, and runs effect under the lock.
func do[T any](ctx context.Context, f *Fake, call Call, effect func() (T, error)) (T, error) {
	var zero T
	lost, err := f.enter(ctx, call)
	if err != nil {
		return zero, err
	}
	f.mu.Lock()
	v, err := effect()
	if !reads(call.Op) {
		f.notify()
	}
	f.mu.Unlock()
	if err == nil && lost != nil {
		return zero, lost
	}
	return v, err
}

func do0(ctx context.Context, f *Fake, call Call, effect func() error) error {
	_, err := do(ctx, f, call, func() (struct{}, error) { return struct{}{}, effect() })
	return err
}

// enter returns the error that answers the call instead of its effect, or the
// error that replaces its answer.
func (f *Fake) enter(ctx context.Context, call Call) (lost, err error) {
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.now = f.now.Add(time.Second)
	hook := f.intercept
	f.mu.Unlock()
	if hook != nil {
		if err := hook(call); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ft := range f.faults {
		if ft.op != call.Op || ft.done {
			continue
		}
		if ft.after > 0 {
			ft.after--
			continue
		}
		ft.done = ft.after == 0
		if ft.lose {
			lost = ft.err
		} else {
			err = ft.err
		}
	}
	return lost, err
}

// notify wakes all waiters. The lock is held.
func (f *Fake) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// until waits, without holding the lock between tries, for ready to be true.
func (f *Fake) until(ctx context.Context, ready func() bool) error {
	for {
		f.mu.Lock()
		ok, changed := ready(), f.changed
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// id is 64 hex characters, the same in every run.
func (f *Fake) id(kind string) string {
	f.serial++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, f.serial))
	return hex.EncodeToString(sum[:])
}

func matches(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func copyMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}
