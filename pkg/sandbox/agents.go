package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// Errors of Agents.
var (
	ErrNotReady = errors.New("the sandbox is not ready")
	ErrGone     = errors.New("there is no such sandbox")
	// ErrUnknown is that of the API, about whether there is.
	ErrUnknown = errors.New("whether there is such a sandbox is not known")
)

// Agents connects to the supervisors of sandboxes, by id.
type Agents interface {
	// Dial returns a connection on which the preface is over: SSH follows. Its
	// errors are ErrNotReady, ErrGone, ErrUnknown, or those of dialling and of the
	// preface.
	Dial(ctx context.Context, id string) (net.Conn, error)
	// Connect speaks SSH over a Dial and checks the host key.
	Connect(ctx context.Context, id string) (*sandboxssh.Client, error)
}

const (
	dialTimeout = 5 * time.Second
	// token names the gateway itself in the preface of a supervisor.
	token = "gateway"
)

// A peer that vanished is noticed within 5 + 3*3 seconds.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}
}

// target is a supervisor to keep a connection to.
type target struct {
	id        string
	sandbox   string // name of the Sandbox
	hostKey   string
	address   string // host:port; empty: not known yet
	pod       types.UID
	container string // changes with every start of it
	ending    bool   // connected to for its last word alone
}

// agents keeps one connection to each running sandbox, by which it is known to
// be ready and how its command fares.
type agents struct {
	dialer  dialer
	changed func(sandbox string)                               // the word of a sandbox's supervisor changed
	exists  func(ctx context.Context, id string) (bool, error) // whether there is a Sandbox of that id
	log     *slog.Logger

	mu      sync.Mutex
	running map[string]*agent
}

// dialer opens connections to supervisors.
type dialer interface {
	dial(ctx context.Context, id, address string) (net.Conn, error)
}

// network dials pods.
type network struct{ master handshake.Key }

func (n network) dial(ctx context.Context, id, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive()}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := handshake.Offer(conn, handshake.Derive(n.master, id), token, time.Now().Add(dialTimeout)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func newAgents(d dialer, changed func(string), exists func(context.Context, string) (bool, error), log *slog.Logger) *agents {
	return &agents{dialer: d, changed: changed, exists: exists, log: log, running: map[string]*agent{}}
}

// watch implements connections.
func (a *agents) watch(t target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.running[t.id]; known != nil {
		known.aim(t)
		return
	}
	started := newAgent(t, a.dialer, a.changed, a.log.With("sandbox", t.sandbox))
	a.running[t.id] = started
	go started.keep()
}

// word implements connections.
func (a *agents) word(id string) word {
	if known := a.get(id); known != nil {
		return known.said()
	}
	return word{}
}

// forget implements connections.
func (a *agents) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.running[id]; known != nil {
		known.stop()
		delete(a.running, id)
	}
}

// forgetAll ends every connection.
func (a *agents) forgetAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, known := range a.running {
		known.stop()
		delete(a.running, id)
	}
}

func (a *agents) get(id string) *agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[id]
}

// Dial implements Agents.
func (a *agents) Dial(ctx context.Context, id string) (net.Conn, error) {
	conn, _, err := a.dial(ctx, id)
	return conn, err
}

func (a *agents) dial(ctx context.Context, id string) (net.Conn, target, error) {
	var t target
	known := a.get(id)
	if known != nil {
		t = known.aimed()
	} else {
		there, err := a.exists(ctx, id)
		if err != nil {
			return nil, t, fmt.Errorf("sandbox %s: %w: %w", id, ErrUnknown, err)
		}
		if !there {
			return nil, t, ErrGone
		}
	}
	if t.address == "" || t.ending {
		return nil, t, ErrNotReady
	}
	conn, err := a.dialer.dial(ctx, id, t.address)
	if err != nil && !known.said().connected {
		err = fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return conn, t, err
}

// Connect implements Agents.
func (a *agents) Connect(ctx context.Context, id string) (*sandboxssh.Client, error) {
	conn, t, err := a.dial(ctx, id)
	if err != nil {
		return nil, err
	}
	return speak(ctx, conn, t.hostKey)
}

func speak(ctx context.Context, conn net.Conn, hostKey string) (*sandboxssh.Client, error) {
	key, err := sandboxssh.ParseHostKey(hostKey)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return sandboxssh.Connect(ctx, conn, key)
}

// place is where the supervisor of a pod listens.
func place(ip string) string {
	if ip == "" {
		return ""
	}
	return net.JoinHostPort(ip, strconv.Itoa(sandboxapi.SSHPort))
}
