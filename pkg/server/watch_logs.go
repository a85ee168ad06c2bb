package server

import (
	"context"
	"errors"
	"time"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// defaultTail is how many lines, or events, come before those that follow when
// the request says nothing.
const defaultTail = 200

// followLogs sends the tail of the logs and then, if wanted, what comes. While
// there is no supervisor to ask, one warning says so.
func (w *watcher) followLogs(ctx context.Context) error {
	leave, err := w.connected.enter(w.id)
	if err != nil {
		return err
	}
	defer leave()
	q := w.logs
	q.Lines, q.Follow = int(min(w.request.GetLogTailLines(), maxLines)), w.request.GetFollowLogs()
	if q.Lines == 0 && q.Since.IsZero() {
		q.Lines = defaultTail
	}
	for warned := false; ; {
		last, err := w.copyLogs(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil // the reason is not here
		case err == nil && !q.Follow:
			return nil
		case errors.As(err, new(sendError)):
			return err
		}
		if !last.IsZero() {
			// On from there.
			q.Lines, q.Since, warned = 0, last.Add(time.Nanosecond), false
		}
		if !warned && err != nil {
			warned = true
			if err := w.warn("%s", whyNoLogs(err)); err != nil {
				return err
			}
		}
		if !q.Follow || !sleep(ctx, watchAgain) {
			return nil
		}
	}
}

// copyLogs answers when the last line that was sent was written.
func (w *watcher) copyLogs(ctx context.Context, q sandboxapi.LogQuery) (last time.Time, err error) {
	c, err := w.backend.get(ctx)
	if err != nil {
		return last, err
	}
	agent, err := c.Connect(ctx, w.id)
	if err != nil {
		return last, err
	}
	defer agent.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = agent.Logs(ctx, q, func(line sandboxapi.LogLine) {
		if ctx.Err() != nil {
			return
		}
		event := &openshellv1.SandboxStreamEvent{Payload: &openshellv1.SandboxStreamEvent_Log{Log: logLine(w.id, line)}}
		if err := w.send(event); err != nil {
			cancel(sendError{err})
			return
		}
		last = line.At
	})
	if sent := new(sendError); errors.As(context.Cause(ctx), sent) {
		return last, *sent
	}
	return last, err
}

// sendError is one of the stream to the client.
type sendError struct{ error }

func (e sendError) Unwrap() error { return e.error }

func whyNoLogs(err error) string {
	if errors.Is(err, sandbox.ErrNotReady) {
		return "the logs can be read while the sandbox runs: it is not ready"
	}
	return "the logs cannot be read at the moment"
}
