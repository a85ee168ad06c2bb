package controlplane

import (
	"testing"
	"time"
)

// What was acknowledged survives a kill, and nothing but the node reaches it.
func TestEtcdIsDurableAndPrivate(t *testing.T) {
	cfg, err := etcdConfig(func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.UnsafeNoFsync {
		t.Error("etcd runs without fsync")
	}
	if cfg.BackendBatchInterval > 100*time.Millisecond {
		t.Errorf("etcd commits every %s only", cfg.BackendBatchInterval)
	}
	for _, u := range cfg.ListenClientUrls {
		if u.Scheme != "unix" {
			t.Errorf("clients are served on %s", u.String())
		}
	}
	for _, u := range cfg.ListenPeerUrls {
		if u.Hostname() != "127.0.0.1" {
			t.Errorf("peers are served on %s", u.String())
		}
	}
}
