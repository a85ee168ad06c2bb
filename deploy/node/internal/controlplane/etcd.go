package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
)

// One member elects itself: it need not wait as long as a cluster over a
// network would. The tick is also a timer that wakes an idle machine.
const (
	etcdTick     = 30  // ms
	etcdElection = 150 // ms
	etcdQuota    = 2 << 30
)

// etcdConfig listens on a unix socket only. fsync stays on: what the API
// acknowledged survives a kill.
func etcdConfig(onFatal func(string)) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Name = "openshell"
	cfg.Dir = layout.EtcdDir
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: layout.EtcdSocket}}
	// Advertised addresses and a peer listener are mandatory. The listener takes
	// any free port of the loopback, and nobody ever connects to either.
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	advertised := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	cfg.ListenPeerUrls = []url.URL{peer}
	cfg.AdvertisePeerUrls = []url.URL{advertised}
	cfg.InitialCluster = cfg.Name + "=" + advertised.String()
	cfg.TickMs = etcdTick
	cfg.ElectionMs = etcdElection
	cfg.QuotaBackendBytes = etcdQuota
	// Left at zero, every request counts as slow and is logged.
	cfg.WarningUnaryRequestDuration = time.Second
	cfg.WarningApplyDuration = time.Second
	cfg.AutoCompactionMode = "periodic"
	cfg.AutoCompactionRetention = "1h"
	logger, err := zap.Config{
		Level: zap.NewAtomicLevelAt(zap.WarnLevel), Encoding: "json", EncoderConfig: zap.NewProductionEncoderConfig(),
		OutputPaths: []string{"stderr"}, ErrorOutputPaths: []string{"stderr"},
	}.Build(zap.Hooks(func(e zapcore.Entry) error {
		// etcd ends the process itself when it cannot open its data.
		if e.Level >= zapcore.DPanicLevel {
			onFatal(e.Message)
		}
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("etcd logger: %w", err)
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg, nil
}

// errUnreadable marks data of etcd that cannot be opened.
var errUnreadable = errors.New("etcd cannot open its data")

// startEtcd returns when etcd serves. Its data being unreadable is reported
// through fail, whichever way etcd chooses to say so. Data of an initialized
// gateway has to be there: etcd itself would just begin anew.
func startEtcd(ctx context.Context, initialized bool, fail func(nodeapi.Failure)) (server *embed.Etcd, err error) {
	var serving atomic.Bool
	unreadable := func(reason string) {
		if !serving.Load() {
			fail(etcdFailure(reason))
		}
	}
	defer func() {
		// bbolt panics on a damaged page.
		if r := recover(); r != nil {
			unreadable(fmt.Sprint(r))
			err = fmt.Errorf("%w: %v", errUnreadable, r)
		}
	}()
	cfg, err := etcdConfig(unreadable)
	if err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("etcd configuration: %w", err)
	}
	if initialized && !wal.Exist(filepath.Join(cfg.Dir, "member", "wal")) {
		unreadable("its log is gone")
		return nil, fmt.Errorf("%w: its log is gone", errUnreadable)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd directory: %w", err)
	}
	server, err = embed.StartEtcd(cfg)
	if err != nil {
		unreadable(err.Error())
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	timeout := time.After(time.Minute)
	for early := 0; ; {
		select {
		case <-server.Server.ReadyNotify():
			serving.Store(true)
			return server, nil
		case err := <-server.Err():
			return nil, fmt.Errorf("etcd: %w", err)
		case <-ctx.Done():
			server.Close()
			return nil, ctx.Err()
		case <-time.After(lookForGap):
			if !logEndsEarly(server) {
				early = 0
				continue
			}
			// The first look may come before the leader has committed what the
			// log holds. It never stands still: etcd goes on announcing itself.
			if early++; early == looksForGap {
				unreadable("its log ends before its database")
				server.Close()
				return nil, fmt.Errorf("%w: its log ends before its database", errUnreadable)
			}
		case <-timeout:
			server.Close()
			return nil, errors.New("etcd: not ready after a minute")
		}
	}
}

// Every lookForGap etcd is asked why it does not serve; that many answers in a
// row leave no doubt.
const (
	lookForGap  = 4 * time.Second
	looksForGap = 3
)

// logEndsEarly reports that the database knows of changes the log does not: the
// end of the log was lost. etcd would ignore every change until the log has
// grown that far again.
func logEndsEarly(server *embed.Etcd) bool {
	if server.Server.Leader() == 0 {
		return false // what the log holds is not known yet
	}
	applied, _ := schema.ReadConsistentIndex(server.Server.Backend().ReadTx())
	return applied > server.Server.CommittedIndex()
}

// etcdFailure says why etcd cannot open its data. Without room for a segment of
// its log that is the reason, whatever etcd itself says.
func etcdFailure(reason string) nodeapi.Failure {
	if free, err := freeSpace(); err == nil && free < uint64(wal.SegmentSizeBytes) {
		return nodeapi.Failure{ID: nodeapi.FailureDiskFull, Message: "no space is left on the volume for etcd: " + reason}
	}
	return nodeapi.Failure{ID: nodeapi.FailureStateUnreadable, Message: "etcd cannot open its data: " + reason}
}
