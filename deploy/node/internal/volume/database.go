package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/nodeapi"
)

// building is the name of data of etcd that is being made. What has it when
// nothing is being made is torn.
const building = "etcd.building"

// Restored is a file in data of etcd that took the place of other data: what
// else is on the volume may not be what it knows of. Its content is the name of
// what was brought back.
const Restored = "restored"

// restoreSnapshot makes data of etcd from a snapshot and lets it change places
// with the present one. Until then the new data has the name of a database, so
// that the present one has a name as soon as it gives way, and neither can be
// taken for something torn.
func (v Volume) restoreSnapshot(ctx context.Context, name, present string) (bool, error) {
	file := v.path(current, snapshots, name+nodeapi.SnapshotSuffix)
	if _, err := os.Stat(file); err != nil {
		return false, err
	}
	torn, made := v.path(current, building), v.path(current, present)
	if err := errors.Join(os.RemoveAll(torn), absent(made)); err != nil {
		return false, err
	}
	if err := v.Build(ctx, file, torn); err != nil {
		return false, errors.Join(err, os.RemoveAll(torn))
	}
	if err := markRestored(torn, name); err != nil {
		return false, errors.Join(err, os.RemoveAll(torn))
	}
	if err := errors.Join(rename(torn, made), durable.SyncDir(v.path(current))); err != nil {
		return false, err
	}
	return exchange(made, v.path(current, etcd))
}

func (v Volume) restoreDatabase(name, present string) (bool, error) {
	database, now := v.path(current, name), v.path(current, present)
	if err := absent(now); err != nil {
		return false, err
	}
	if err := markRestored(database, name); err != nil {
		return false, err
	}
	had, err := exchange(database, v.path(current, etcd))
	if err != nil || !had {
		return false, err
	}
	return true, errors.Join(rename(database, now), durable.SyncDir(v.path(current)))
}

func markRestored(dir, name string) error {
	if err := durable.WriteFile(filepath.Join(dir, Restored), []byte(name+"\n"), 0o600); err != nil {
		return fmt.Errorf("mark of what is brought back: %w", err)
	}
	return nil
}
