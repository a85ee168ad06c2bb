package nginx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
)

const (
	lockTimeout = 10 * time.Second
	testTimeout = 30 * time.Second
)

// Result is what became of an update.
type Result struct {
	Changed  bool `json:"changed"`  // the configuration is another one than before
	Reloaded bool `json:"reloaded"` // nginx has read it again
	Services int  `json:"services"`
}

// Update makes the running nginx lead to these services and no others. When it
// fails, files and nginx are as they were before.
func Update(ctx context.Context, s Settings, services []edge.Service) (Result, error) {
	return apply(ctx, s, services, true)
}

// Base makes the configuration without services, for an nginx that runs or is to
// be started.
func Base(ctx context.Context, s Settings) (Result, error) {
	return apply(ctx, s, nil, false)
}

func recordPath(s Settings) string { return filepath.Join(s.Run, recordFile) }

func apply(ctx context.Context, s Settings, services []edge.Service, mustRun bool) (Result, error) {
	unlock, err := lock(ctx, filepath.Join(s.Run, lockFile))
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	pid, err := recorded(recordPath(s))
	running := err == nil
	if err != nil && (mustRun || !errors.Is(err, errNotRunning)) {
		return Result{}, err
	}
	config, err := Render(s, services)
	if err != nil {
		return Result{}, err
	}
	result := Result{Services: len(services)}
	former, err := read(s)
	if err != nil {
		return Result{}, err
	}
	if former.main != nil && string(former.main) == config.Main && string(former.live) == config.Live {
		if now, err := serving(ctx, s.Run); !running || err == nil && now == config.Generation {
			return result, nil
		}
		// It is there, but whoever put it there did not get to see it in effect.
	} else {
		result.Changed = true
		if err := replace(ctx, s, config); err != nil {
			return Result{}, err
		}
	}
	if !running {
		return result, nil
	}
	if err := reload(ctx, s, pid, config.Generation); err != nil {
		return Result{}, errors.Join(err, former.restore(s))
	}
	result.Reloaded = true
	return result, nil
}

// lock keeps other updates out until it is released.
func lock(ctx context.Context, path string) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || ctx.Err() != nil {
			file.Close()
			return nil, fmt.Errorf("another update of nginx is going on: %w", err)
		}
		pause(ctx)
	}
}

// replace puts a configuration that nginx accepts in the place of the live one.
// Until then it is a file beside that.
func replace(ctx context.Context, s Settings, config Config) error {
	next := filepath.Join(filepath.Dir(s.Live), "."+filepath.Base(s.Live)+".next")
	nextMain := filepath.Join(s.Run, mainFile+".next")
	defer os.Remove(next)
	defer os.Remove(nextMain)
	if err := os.WriteFile(next, []byte(config.Live), 0o644); err != nil {
		return err
	}
	if err := test(ctx, s, next, nextMain); err != nil {
		return err
	}
	if err := os.WriteFile(nextMain, []byte(config.Main), 0o644); err != nil {
		return err
	}
	// The main configuration names the live one, of whichever services.
	if err := os.Rename(nextMain, filepath.Join(s.Run, mainFile)); err != nil {
		return err
	}
	return os.Rename(next, s.Live)
}

// test lets nginx judge a candidate, through a main configuration of its own.
func test(ctx context.Context, s Settings, candidate, main string) error {
	pid := pidFile + ".next"
	text, err := renderMain(s, candidate, pid)
	if err != nil {
		return err
	}
	if err := os.WriteFile(main, []byte(text), 0o644); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(s.Run, pid))
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Program, "-t", "-q", "-e", "stderr", "-c", main)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if reason := firstEmergency(out); reason != "" {
		err = errors.New(reason)
	}
	return fmt.Errorf("nginx does not accept the configuration: %w", errors.Join(err, ctx.Err()))
}

// files are a configuration as it was found; nil: not there.
type files struct{ main, live []byte }

func read(s Settings) (files, error) {
	main, err := os.ReadFile(filepath.Join(s.Run, mainFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return files{}, err
	}
	live, err := os.ReadFile(s.Live)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return files{}, err
	}
	return files{main, live}, nil
}

func (f files) restore(s Settings) error {
	return errors.Join(restore(filepath.Join(s.Run, mainFile), f.main), restore(s.Live, f.live))
}

func restore(path string, data []byte) error {
	if data == nil {
		return os.Remove(path)
	}
	return durable.Replace(path, data, 0o644)
}
