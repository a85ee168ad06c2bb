package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/snapshot"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	// lastSnapshot is how long a stop waits for the snapshot it ends with.
	lastSnapshot = 500 * time.Millisecond

	// reservedSegments of its log is what a snapshot leaves to etcd, which needs
	// one at once and the next soon, and room for its database to grow.
	reservedSegments = 4
)

// BuildData makes data of etcd from a snapshot, in a directory that does not
// exist.
func BuildData(file, dir string) error {
	cfg, err := etcdConfig(func(string) {})
	if err != nil {
		return err
	}
	return snapshot.Build(cfg, file, dir)
}

func newKeeper(etcd *embed.Etcd) *snapshot.Keeper {
	return &snapshot.Keeper{
		Dir:  nodeapi.SnapshotDir,
		Open: func() snapshot.Source { return etcd.Server.Backend().Snapshot() },
		Healthy: func() bool {
			_, err := os.Stat(layout.HealthyMark)
			return err == nil
		},
		Free:    freeSpace,
		Reserve: reservedSegments * uint64(wal.SegmentSizeBytes),
		Check:   snapshot.Check,
	}
}

// snapshotAtStop takes the last snapshot of a run. It gives up in time, and
// what goes wrong is of no concern to the stop.
func snapshotAtStop(keeper *snapshot.Keeper) {
	ctx, cancel := context.WithTimeout(context.Background(), lastSnapshot)
	defer cancel()
	began := time.Now()
	taken := make(chan error, 1)
	go func() { taken <- keeper.Take(ctx, began) }()
	select {
	case err := <-taken:
		if err != nil {
			slog.Warn("there is no snapshot of this stop", "error", err)
			return
		}
		slog.Info("last snapshot", "after_ms", time.Since(began).Milliseconds())
	case <-ctx.Done():
		slog.Warn("there is no snapshot of this stop", "error", "it would have taken too long")
	}
}

// freeSpace is how many bytes the volume has left.
func freeSpace() (uint64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(nodeapi.VolumeRoot, &fs); err != nil {
		return 0, fmt.Errorf("free space of the volume: %w", err)
	}
	return fs.Bavail * uint64(fs.Bsize), nil
}
