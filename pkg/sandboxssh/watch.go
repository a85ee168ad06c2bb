package sandboxssh

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// Status reports the supervisor's status at once and after every change, until
// ctx or the connection ends. It never returns nil.
func (c *Client) Status(ctx context.Context, report func(sandboxapi.Status)) error {
	if err := documents(ctx, c, sandboxapi.ChannelStatus, struct{}{}, report); err != nil {
		return err
	}
	return io.EOF
}

// Logs calls line for every line that q selects, in the order of time. It
// returns nil when there are no more.
func (c *Client) Logs(ctx context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
	return documents(ctx, c, sandboxapi.ChannelLogs, q, line)
}

// documents opens a channel with a question and reads JSON documents from it.
func documents[T any](ctx context.Context, c *Client, kind string, question any, report func(T)) error {
	extra, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ch, requests, err := c.open(ctx, kind, extra)
	if err != nil {
		return err
	}
	defer ch.Close()
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	// The supervisor says by a request that it has said everything: the end of
	// a lost connection looks the same as that of a log.
	complete := make(chan bool, 1)
	go func() {
		done := false
		for r := range requests {
			done = done || r.Type == sandboxapi.RequestComplete
			if r.WantReply {
				r.Reply(false, nil) //nolint:errcheck // the connection ended: so do the requests
			}
		}
		complete <- done
	}()
	go io.Copy(io.Discard, ch.Stderr()) //nolint:errcheck // ends with the channel
	for d := json.NewDecoder(ch); ; {
		var document T
		if err := d.Decode(&document); err != nil {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !errors.Is(err, io.EOF):
				return err
			case !<-complete:
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		report(document)
	}
}
