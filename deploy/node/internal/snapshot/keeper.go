// Package snapshot keeps snapshots of etcd's data on the volume, and makes data
// of etcd from one again. They are in the format of etcd's own tools.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"openshell.ai/openshell/deploy/node/internal/volume"
	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	kept      = 3
	hourly    = time.Hour
	lookEvery = time.Minute // a laptop sleeps: the clock on the wall decides, not a timer

	// unfinished is the name of a snapshot that is being written. What has it
	// when nothing writes is torn.
	unfinished = "unfinished"
)

// Source is the database at one moment.
type Source interface {
	Size() int64 // in bytes
	WriteTo(w io.Writer) (int64, error)
	Close() error
}

// Keeper takes snapshots. Only a state that was healthy is worth one: the three
// of a good state must not give way to those of a bad one.
type Keeper struct {
	Dir     string                  // where they are kept; made when it is needed
	Open    func() Source           // the database as of now
	Healthy func() bool             // it was, since the node booted
	Free    func() (uint64, error)  // bytes the disk has left
	Reserve uint64                  // bytes that have to be left for etcd itself
	Check   func(path string) error // whether what is in a file is sound

	taking sync.Mutex
}

// Run takes a snapshot whenever the newest is an hour old, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		due, err := k.due(time.Now())
		if err == nil && due {
			err = k.Take(ctx, time.Now())
		}
		if err != nil && ctx.Err() == nil {
			slog.Warn("there is no snapshot of this hour", "error", err)
		}
	}
}

// due reports that the newest snapshot is an hour old. One from the future, of a
// clock that was wrong, does not count.
func (k *Keeper) due(now time.Time) (bool, error) {
	have, err := k.list()
	if err != nil {
		return false, err
	}
	for _, s := range have {
		if age := now.Sub(s.At); age >= 0 {
			return age >= hourly, nil
		}
	}
	return true, nil
}

// Take takes a snapshot of a healthy state. When it returns nil, the snapshot is
// on the disk as a whole, or the state was not healthy. It gives up with ctx.
func (k *Keeper) Take(ctx context.Context, now time.Time) error {
	k.taking.Lock()
	defer k.taking.Unlock()
	if !k.Healthy() {
		return nil
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	temp := filepath.Join(k.Dir, unfinished)
	if err := k.write(ctx, temp); err != nil {
		return errors.Join(fmt.Errorf("snapshot: %w", err), removeIfThere(temp))
	}
	name := nodeapi.StateName(nodeapi.SnapshotPrefix, now)
	if err := os.Rename(temp, filepath.Join(k.Dir, name+nodeapi.SnapshotSuffix)); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := errors.Join(durable.SyncDir(k.Dir), durable.SyncDir(filepath.Dir(k.Dir))); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return k.prune(name)
}

func (k *Keeper) write(ctx context.Context, path string) error {
	// Who gave up waiting may have closed the database meanwhile.
	if err := ctx.Err(); err != nil {
		return err
	}
	source := k.Open()
	if err := k.room(source.Size()); err != nil {
		return errors.Join(err, source.Close())
	}
	if err := write(ctx, source, path); err != nil {
		return err
	}
	return k.Check(path)
}

func (k *Keeper) room(size int64) error {
	free, err := k.Free()
	if err != nil {
		return err
	}
	if need := uint64(size) + k.Reserve; free < need {
		return fmt.Errorf("the disk has %d MiB left, and %d are needed", free>>20, need>>20)
	}
	return nil
}

// prune removes all but the newest snapshots. The one just taken is one of
// them, whatever the clock says.
func (k *Keeper) prune(taken string) error {
	have, err := k.list()
	if err != nil {
		return err
	}
	left := kept - 1
	for _, s := range have {
		if s.Name == taken {
			continue
		}
		if left--; left >= 0 {
			continue
		}
		if err := os.Remove(filepath.Join(k.Dir, s.Name+nodeapi.SnapshotSuffix)); err != nil {
			return fmt.Errorf("old snapshot: %w", err)
		}
	}
	return nil
}

// list is what there is, newest first.
func (k *Keeper) list() ([]nodeapi.Aside, error) {
	have, err := volume.List(k.Dir, nodeapi.SnapshotPrefix, nodeapi.SnapshotSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return have, err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
