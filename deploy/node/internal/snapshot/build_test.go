package snapshot_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"openshell.ai/openshell/deploy/node/internal/snapshot"
)

func config(t *testing.T, dir string) *embed.Config {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "openshell", dir
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(t.TempDir(), "etcd.sock")}}
	cfg.ListenPeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	cfg.AdvertisePeerUrls = []url.URL{peer}
	cfg.InitialCluster = cfg.Name + "=" + peer.String()
	cfg.TickMs, cfg.ElectionMs = 30, 150
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	return cfg
}

func run(t *testing.T, cfg *embed.Config) *embed.Etcd {
	t.Helper()
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		t.Fatal("etcd does not get ready")
	}
	return server
}

func put(t *testing.T, server *embed.Etcd, value string) {
	t.Helper()
	if _, err := server.Server.Put(t.Context(), &etcdserverpb.PutRequest{Key: []byte("key"), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

// etcd serves what the snapshot knows, says that older revisions are gone, and
// goes on at one that it never had.
func TestEtcdRunsFromASnapshot(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "etcd"))
	server := run(t, cfg)
	put(t, server, "known")
	k := keeper(t)
	k.Open = func() snapshot.Source { return server.Server.Backend().Snapshot() }
	if err := k.Take(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	put(t, server, "lost")
	lost := server.Server.KV().Rev()
	server.Close()

	built := filepath.Join(t.TempDir(), "etcd")
	if err := snapshot.Build(cfg, filepath.Join(k.Dir, files(t, k)[0]), built); err != nil {
		t.Fatal(err)
	}
	server = run(t, config(t, built))
	defer server.Close()
	got, err := server.Server.Range(t.Context(), &etcdserverpb.RangeRequest{Key: []byte("key")})
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "known" {
		t.Fatalf("%v, %v", got, err)
	}
	if got.Header.Revision <= lost {
		t.Errorf("revision %d may be one of the time that was lost, which ended at %d", got.Header.Revision, lost)
	}
	if _, err := server.Server.Range(t.Context(), &etcdserverpb.RangeRequest{Key: []byte("key"), Revision: lost}); err == nil {
		t.Error("a revision of the time that was lost is answered")
	}
	put(t, server, "new")
}

func TestNothingIsBuiltFromADamagedSnapshot(t *testing.T) {
	k := keeper(t)
	if err := k.Take(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(k.Dir, files(t, k)[0])
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	built := filepath.Join(t.TempDir(), "etcd")
	if err := snapshot.Build(config(t, built), path, built); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(built); !os.IsNotExist(err) {
		t.Errorf("something was built: %v", err)
	}
}
