package edgehost

import (
	"log/slog"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	// healAfter leaves a failed edge to a person, or to a start that is under way.
	healAfter = 10 * time.Second
	healMost  = 10 * time.Minute // between two attempts, which double
)

// Healer starts the edge anew when a part of it is gone that does not come back
// by itself. Keys and routes stay.
type Healer struct {
	restart func()
	now     func() time.Time

	failed time.Time // since when; zero: it has not
	wait   time.Duration
}

// NewHealer calls restart, which ends the edge's process; its supervisor starts
// that again.
func NewHealer(restart func()) *Healer {
	return &Healer{restart: restart, now: time.Now, wait: healAfter}
}

// See is told of every look at the edge.
func (h *Healer) See(e nodeapi.Edge) {
	switch e.State {
	case nodeapi.EdgeReady:
		h.failed, h.wait = time.Time{}, healAfter
	case nodeapi.EdgeFailed:
		now := h.now()
		if h.failed.IsZero() {
			h.failed = now
		}
		if now.Sub(h.failed) < h.wait {
			return
		}
		slog.Warn("the edge failed and is started again", "reason", e.Message)
		h.failed, h.wait = time.Time{}, min(2*h.wait, healMost)
		h.restart()
	}
}
