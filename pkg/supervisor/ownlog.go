//go:build linux

package supervisor

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// ownLines is how many lines of its own log the supervisor keeps.
const ownLines = 500

// ownLog is the last lines of the supervisor's log.
type ownLog struct {
	notice
	mu    sync.Mutex
	lines []sandboxapi.LogLine
	first int // number of lines[0] since the start
}

// newLog returns a logger that writes text and keeps its last lines.
func newLog(w io.Writer, level slog.Leveler) (*slog.Logger, *ownLog) {
	own := &ownLog{}
	text := slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(&ownHandler{Handler: text, own: own}), own
}

// since returns the lines from number n on, and the number after the last.
func (o *ownLog) since(n int) ([]sandboxapi.LogLine, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	skip := min(max(n-o.first, 0), len(o.lines))
	return append([]sandboxapi.LogLine(nil), o.lines[skip:]...), o.first + len(o.lines)
}

func (o *ownLog) add(line sandboxapi.LogLine) {
	o.mu.Lock()
	if len(o.lines) == ownLines {
		o.lines = append(o.lines[:0], o.lines[1:]...)
		o.first++
	}
	o.lines = append(o.lines, line)
	o.mu.Unlock()
	o.raise()
}

type ownHandler struct {
	slog.Handler
	own   *ownLog
	attrs []slog.Attr
}

func (h *ownHandler) Handle(ctx context.Context, r slog.Record) error {
	line := sandboxapi.LogLine{
		At: r.Time, Source: sandboxapi.LogSupervisor, Level: strings.ToLower(r.Level.String()), Message: r.Message,
	}
	add := func(a slog.Attr) bool {
		if line.Fields == nil {
			line.Fields = map[string]string{}
		}
		line.Fields[a.Key] = a.Value.Resolve().String()
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.own.add(line)
	return h.Handler.Handle(ctx, r)
}

func (h *ownHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &ownHandler{h.Handler.WithAttrs(attrs), h.own, append(append([]slog.Attr(nil), h.attrs...), attrs...)}
}

func (h *ownHandler) WithGroup(name string) slog.Handler {
	return &ownHandler{h.Handler.WithGroup(name), h.own, h.attrs}
}
