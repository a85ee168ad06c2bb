package sandbox

import (
	"context"
	"net"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	hintDeadline = 2 * time.Second
	hintsAtOnce  = 64
)

// takeHints listens until ctx is done.
func (m *Manager) takeHints(ctx context.Context, listener net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	slots := make(chan struct{}, hintsAtOnce)
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return
		}
		if err != nil { // too many open files, for instance: hints may wait
			m.log.Warn("port of hints", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryController):
			}
			continue
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			m.takeHint(conn)
		}()
	}
}

func (m *Manager) takeHint(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hintDeadline)); err != nil {
		return
	}
	id, err := sandboxapi.ReadHint(conn)
	if err != nil {
		return // anybody may connect and say anything
	}
	if from, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		m.agents.hint(id, from.IP.String())
	}
}

// hint tries an address of a sandbox whose supervisor is not connected. One that
// is another sandbox's is not tried: that sandbox could use the preface, which
// it would be shown, for itself.
func (a *agents) hint(id, ip string) {
	address := place(ip)
	a.mu.Lock()
	defer a.mu.Unlock()
	for other, known := range a.running {
		if other != id && known.aimed().address == address {
			return
		}
	}
	if known := a.running[id]; known != nil {
		known.hint(address)
	}
}
