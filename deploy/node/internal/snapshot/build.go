package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	etcd "go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// forget makes every revision of the lost time, and all before, one that is too
// old: a client that still has one is told to begin anew. Unlike the restored
// revisions themselves it can never name something else than it did.
const forget = 1_000_000_000

// Build makes data of etcd in a directory that does not exist from a snapshot.
// cfg is the configuration that etcd is going to run with. When it returns nil,
// all of it is on the disk.
func Build(cfg *embed.Config, snapshot, dir string) error {
	if err := Check(snapshot); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(snapshot), err)
	}
	peers := make([]string, 0, len(cfg.AdvertisePeerUrls))
	for _, u := range cfg.AdvertisePeerUrls {
		peers = append(peers, u.String())
	}
	err := etcd.NewV3(zap.NewNop()).Restore(etcd.RestoreConfig{
		SnapshotPath: snapshot, OutputDataDir: dir,
		Name: cfg.Name, PeerURLs: peers, InitialCluster: cfg.InitialCluster, InitialClusterToken: cfg.InitialClusterToken,
		RevisionBump: forget, MarkCompacted: true,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(snapshot), err)
	}
	return syncTree(dir)
}

// syncTree makes everything under a directory durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
}
