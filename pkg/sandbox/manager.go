// Package sandbox is the controller of sandboxes: it makes the pod, the claim
// and the Secret of every Sandbox, keeps a connection to each supervisor, and
// writes down how the sandbox fares.
package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Manager runs the controller. It works from the start, with or without an API
// to speak to: what it cannot reach yet it tries again.
type Manager struct {
	cfg    Config
	client client.WithWatch
	agents *agents
	log    *slog.Logger

	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request] // nil: no controller runs
}

// NewManager speaks to nobody yet.
func NewManager(cfg Config, log *slog.Logger) (*Manager, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.REST = rest.CopyConfig(cfg.REST)
	cfg.REST.QPS = -1 // fifty sandboxes may start at once; the API server has limits of its own
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	direct, err := client.NewWithWatch(cfg.REST, client.Options{Scheme: scheme, Mapper: newMapper()})
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	m := &Manager{cfg: cfg, client: direct, log: log}
	m.agents = newAgents(network{cfg.Master}, m.enqueue, m.exists, log)
	return m, nil
}

// Client reads and writes at the API server itself. It knows the kinds of
// package v1 and of core/v1.
func (m *Manager) Client() client.WithWatch { return m.client }

// Knows reports whether the controller has looked at a sandbox that is to run.
// What is written in the status of one that it has not is of a former life.
func (m *Manager) Knows(id string) bool { return m.agents.get(id) != nil }

// Agents connects to supervisors.
func (m *Manager) Agents() Agents { return m.agents }

// Pauses of Run between two attempts.
const (
	retryAPI        = 200 * time.Millisecond
	retryController = time.Second
)

// Run controls the sandboxes until ctx is done, and returns nil then. An
// address for hints that cannot be listened on is an error.
func (m *Manager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer m.agents.forgetAll()
	if m.cfg.HintListen != "" {
		var lc net.ListenConfig
		listener, err := lc.Listen(ctx, "tcp", m.cfg.HintListen)
		if err != nil {
			return fmt.Errorf("port of hints: %w", err)
		}
		go m.takeHints(ctx, listener)
	}
	libraryLogs(m.log)
	for {
		err := m.awaitAPI(ctx)
		if err == nil {
			err = m.control(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		m.log.Warn("the sandbox controller ended and is started again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryController):
		}
	}
}

// awaitAPI waits until sandboxes can be listed: the API may be starting, and
// the definition of the resource may have been applied a moment ago.
func (m *Manager) awaitAPI(ctx context.Context) error {
	said := false
	for {
		var list v1.SandboxList
		err := m.client.List(ctx, &list, client.InNamespace(m.cfg.Namespace), client.Limit(1))
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if !said {
			m.log.Info("waiting for the Kubernetes API", "error", err)
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAPI):
		}
	}
}

// enqueue has a sandbox looked at, if there is a controller; one that starts
// looks at all of them.
func (m *Manager) enqueue(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queue != nil {
		m.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: m.cfg.Namespace, Name: name}})
	}
}

func (m *Manager) setQueue(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = q
}

func (m *Manager) exists(ctx context.Context, id string) (bool, error) {
	var list v1.SandboxList
	err := m.client.List(ctx, &list, client.InNamespace(m.cfg.Namespace), client.MatchingLabels{sandboxapi.LabelID: id})
	return len(list.Items) > 0, err
}
