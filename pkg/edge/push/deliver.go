package push

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"
)

const (
	minRetry = 200 * time.Millisecond
	maxRetry = 30 * time.Second
)

// Deliverer sends what is in a spool, in order. It is safe for concurrent use.
type Deliverer struct {
	spool   *Spool
	client  *Client
	log     *slog.Logger
	sending chan struct{} // one at a time
}

// NewDeliverer makes a deliverer of a spool.
func NewDeliverer(spool *Spool, client *Client, log *slog.Logger) *Deliverer {
	return &Deliverer{spool, client, log, make(chan struct{}, 1)}
}

// Push keeps a document and then delivers everything that waits, with retries,
// as long as ctx allows. An error means that something still waits in the spool
// (kept is true), or that the document could not even be kept.
func (d *Deliverer) Push(ctx context.Context, doc Document) (kept bool, err error) {
	if err := d.spool.Add(doc); err != nil {
		return false, err
	}
	return true, d.Drain(ctx)
}

// Drain delivers everything that waits, with retries, as long as ctx allows.
func (d *Deliverer) Drain(ctx context.Context) error {
	for retry := minRetry; ; retry = min(2*retry, maxRetry) {
		err := d.Once(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		d.log.Warn("data could not be pushed", "error", err, "retry", retry.String())
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retry):
		}
	}
}

// Once delivers everything that waits, until the first failure. What the control
// plane will never take is set aside, so that it does not block what is newer.
func (d *Deliverer) Once(ctx context.Context) error {
	select {
	case d.sending <- struct{}{}:
		defer func() { <-d.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	names, err := d.spool.Entries()
	if err != nil {
		return err
	}
	for _, name := range names {
		err := d.send(ctx, name)
		var refused *Refused
		switch {
		case errors.Is(err, errSuperseded):
			continue
		case errors.As(err, &refused):
			d.log.Error("data set aside", "entry", name, "error", err)
			err = d.spool.setAside(name)
		case err == nil:
			d.log.Info("data pushed", "entry", name)
			err = d.spool.remove(name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// errSuperseded says that a newer entry has taken the place of one.
var errSuperseded = errors.New("superseded")

func (d *Deliverer) send(ctx context.Context, name string) error {
	file, size, err := d.spool.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errSuperseded
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return d.client.push(ctx, file, size)
}
