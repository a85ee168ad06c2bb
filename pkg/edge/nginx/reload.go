package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/edge/process"
)

const (
	reloadTimeout = 15 * time.Second
	reloadPause   = time.Millisecond
	// quiet is longer than nginx rests between its attempts to listen.
	quiet = time.Second
)

// reload lets the nginx with that pid read its configuration again, and returns
// when no worker of the one before takes connections any more.
func reload(ctx context.Context, s Settings, pid int, generation string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	log := refusals{file: s.Log, since: size(s.Log)}
	before := children(pid)
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("nginx cannot be told to reload: %w", err)
	}
	retired := false
	for ; ; pause(ctx) {
		if _, err := recorded(recordPath(s)); err != nil {
			return err
		}
		if now, err := serving(ctx, s.Run); err == nil && now == generation {
			if !retired {
				retire(before)
				retired = true
			}
			if taking(before) == 0 {
				return nil
			}
		}
		if reason := log.final(); reason != "" {
			return fmt.Errorf("nginx refused to reload: %s", reason)
		}
		if ctx.Err() != nil {
			return errors.New("nginx did not take the configuration within " + reloadTimeout.String())
		}
	}
}

// retire tells the workers of before to take no more connections. The master,
// which has started new ones, does the same 100 ms later.
func retire(before map[int]process.Stat) {
	for worker := range before {
		if runs(worker, before) {
			_ = syscall.Kill(worker, syscall.SIGQUIT)
		}
	}
}

// taking counts the workers that may still take connections.
func taking(workers map[int]process.Stat) int {
	n := 0
	for worker := range workers {
		if runs(worker, workers) && !retiring(worker) {
			n++
		}
	}
	return n
}

func runs(worker int, workers map[int]process.Stat) bool {
	now, ok := process.Look(worker)
	return ok && now == workers[worker]
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(reloadPause):
	}
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// refusals looks in nginx's log for the reason not to take a configuration.
type refusals struct {
	file        string
	since, seen int64
	grown       time.Time
}

// final is the first reason, once nginx has no more to say: it tries several
// times to listen.
func (r *refusals) final() string {
	now := size(r.file)
	if now <= r.since {
		return ""
	}
	if now != r.seen {
		r.seen, r.grown = now, time.Now()
	}
	if time.Since(r.grown) < quiet {
		return ""
	}
	file, err := os.Open(r.file)
	if err != nil {
		return ""
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, r.since, 64<<10))
	if err != nil {
		return ""
	}
	return firstEmergency(data)
}

// firstEmergency is the first message of what nginx printed or logged that is a
// reason to stop.
func firstEmergency(data []byte) string {
	for line := range bytes.Lines(data) {
		if _, message, ok := bytes.Cut(line, []byte("[emerg] ")); ok {
			// In the log, "pid#tid: " stands before it.
			if before, after, ok := bytes.Cut(message, []byte(": ")); ok && bytes.ContainsRune(before, '#') {
				message = after
			}
			return string(bytes.TrimSpace(message))
		}
	}
	return ""
}
