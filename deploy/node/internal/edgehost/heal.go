package edgehost

import (
	"log/slog"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	// healAfter leaves a failed edge to a person, or to a start that is under way.
	healAfter    = 10 * time.Second // doubles with every attempt
	healAttempts = 3
)

// Healer starts the edge anew when a part of it is gone that does not come back
// by itself. Keys and routes stay. It drops every connection through nginx and
// the VPN, so what several attempts do not repair is left to a person.
type Healer struct {
	restart func()
	now     func() time.Time

	failed   time.Time // since when; zero: it has not
	wait     time.Duration
	attempts int // since it was ready
	gaveUp   bool
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
		h.failed, h.wait, h.attempts, h.gaveUp = time.Time{}, healAfter, 0, false
	case nodeapi.EdgeStarting:
		h.failed = time.Time{}
	case nodeapi.EdgeFailed:
		now := h.now()
		if h.failed.IsZero() {
			h.failed = now
		}
		if now.Sub(h.failed) < h.wait {
			return
		}
		if h.attempts == healAttempts {
			if !h.gaveUp {
				slog.Error("the edge failed again and is left as it is: `openshell gateway start` tries again", "attempts", h.attempts, "reason", e.Message)
			}
			h.gaveUp = true
			return
		}
		slog.Warn("the edge failed and is started again", "reason", e.Message)
		h.failed, h.wait = time.Time{}, 2*h.wait
		h.attempts++
		h.restart()
	}
}
