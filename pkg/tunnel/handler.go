package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// dialTimeout is for reaching a sandbox and its answer to the preface.
const dialTimeout = 10 * time.Second

// Sessions knows tokens.
type Sessions interface {
	// Name of a token, which does not tell the token, whether it counts or not.
	Name(token string) string
	// Verify answers the id of the sandbox that a token is for, or
	// ErrUnauthorized.
	Verify(ctx context.Context, token string) (sandboxID string, err error)
}

// Sandboxes reaches SSH daemons.
type Sandboxes interface {
	// Dial connects to one that has accepted the preface. ErrGone and
	// ErrNotReady tell why it could not; other errors are those of the connection.
	Dial(ctx context.Context, id string) (net.Conn, error)
}

// Handler answers the tunnel requests of a gateway.
type Handler struct {
	sessions  Sessions
	sandboxes Sandboxes
	log       *slog.Logger
	open      table
}

// NewHandler makes a handler without tunnels.
func NewHandler(sessions Sessions, sandboxes Sandboxes, log *slog.Logger) *Handler {
	return &Handler{sessions: sessions, sandboxes: sandboxes, log: log}
}

// EndSession ends the tunnels of the token of that name.
func (h *Handler) EndSession(name string) {
	h.open.end(func(e *entry) bool { return e.session == name })
}

// EndSandbox ends the tunnels to a sandbox.
func (h *Handler) EndSandbox(id string) { h.open.end(func(e *entry) bool { return e.sandbox == id }) }

// Close ends all tunnels, accepts no more, and waits until they have ended.
func (h *Handler) Close() { h.open.close() }

// ServeHTTP opens a tunnel and carries it until it ends.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.Header().Set("Allow", http.MethodConnect)
		refuse(w, &Refused{http.StatusMethodNotAllowed, "the method of a tunnel is CONNECT"})
		return
	}
	if r.ProtoMajor != 1 {
		refuse(w, &Refused{http.StatusHTTPVersionNotSupported, "a tunnel needs HTTP/1.1"})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	e := &entry{session: h.sessions.Name(r.Header.Get(HeaderToken)), cancel: cancel}
	defer h.open.leave(e)
	sandbox, refused := h.connect(ctx, e, r.Header)
	if refused != nil {
		h.log.Info("tunnel refused", "status", refused.Status, "reason", refused.Message, "sandbox", e.sandbox)
		refuse(w, refused)
		return
	}
	defer sandbox.Close()
	client, err := accept(w)
	if err != nil {
		h.log.Info("tunnel not opened", "sandbox", e.sandbox, "error", err)
		return
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), sandbox.Close() })()
	began := time.Now()
	up, down := splice(client, sandbox)
	h.log.Debug("tunnel ended", "sandbox", e.sandbox, "up", up, "down", down, "after", time.Since(began).String())
}

// connect checks a request and reaches its sandbox.
// The token is counted before it is looked at: one that is revoked meanwhile
// ends this tunnel too.
func (h *Handler) connect(ctx context.Context, e *entry, header http.Header) (net.Conn, *Refused) {
	ids, tokens := header.Values(HeaderSandbox), header.Values(HeaderToken)
	if len(ids) != 1 || len(tokens) != 1 || ids[0] == "" || tokens[0] == "" {
		return nil, &Refused{http.StatusUnauthorized, fmt.Sprintf("the headers %s and %s are needed, once each", HeaderSandbox, HeaderToken)}
	}
	if refused := h.open.enter(e); refused != nil {
		return nil, refused
	}
	id, err := h.sessions.Verify(ctx, tokens[0])
	switch {
	case errors.Is(err, ErrUnauthorized):
		return nil, &Refused{http.StatusUnauthorized, ErrUnauthorized.Error()}
	case err != nil:
		h.log.Warn("token cannot be checked", "error", err)
		return nil, &Refused{http.StatusServiceUnavailable, "the gateway cannot check the token now"}
	case id != ids[0]:
		return nil, &Refused{http.StatusUnauthorized, "the token is for another sandbox"}
	}
	if refused := h.open.join(e, id); refused != nil {
		return nil, refused
	}
	return h.dial(ctx, id)
}

func (h *Handler) dial(ctx context.Context, id string) (net.Conn, *Refused) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := h.sandboxes.Dial(ctx, id)
	switch {
	case errors.Is(err, ErrGone):
		return nil, &Refused{http.StatusNotFound, ErrGone.Error()}
	case errors.Is(err, ErrNotReady):
		return nil, &Refused{http.StatusPreconditionFailed, ErrNotReady.Error()}
	case err != nil:
		h.log.Warn("sandbox cannot be reached", "sandbox", id, "error", err)
		return nil, &Refused{http.StatusBadGateway, "the sandbox cannot be reached"}
	}
	return conn, nil
}

func refuse(w http.ResponseWriter, r *Refused) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, r.Message+"\n") // the client may be gone
}

// accept takes the connection over, with what the client sent in advance, and
// answers 200.
func accept(w http.ResponseWriter) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		_ = conn.Close()
		return nil, err
	}
	early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
	return readFirst{Conn: conn, from: io.MultiReader(early, conn)}, nil
}

// splice copies both ways until both have ended. The end of one way is passed
// on; a failure ends both.
func splice(client, sandbox net.Conn) (up, down int64) {
	done := make(chan int64, 1)
	go func() { done <- carry(client, sandbox) }()
	up = carry(sandbox, client)
	return up, <-done
}

func carry(to, from net.Conn) int64 {
	n, err := io.Copy(to, from)
	if err != nil || closeWrite(to) != nil {
		_, _ = to.Close(), from.Close()
	}
	return n
}
