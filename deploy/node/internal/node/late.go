package node

import (
	"context"
	"sync/atomic"

	"openshell.ai/openshell/deploy/node/internal/health"
	"openshell.ai/openshell/deploy/node/internal/status"
	"openshell.ai/openshell/pkg/nodeapi"
)

// lateChecker answers before there are certificates to check with, so that the
// socket can be served from the first moment.
type lateChecker struct {
	checks atomic.Pointer[health.Checks]
}

var _ status.Checker = (*lateChecker)(nil)

func (l *lateChecker) set(c *health.Checks) { l.checks.Store(c) }

func (l *lateChecker) Check(ctx context.Context) []nodeapi.Check {
	if c := l.checks.Load(); c != nil {
		return c.Check(ctx)
	}
	return []nodeapi.Check{{ID: health.API, Message: "the node is being prepared"}}
}
