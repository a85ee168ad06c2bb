package cni

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	yieldFor   = 6 * time.Second // after the boot
	yieldPoll  = 100 * time.Millisecond
	yieldProbe = 50 * time.Millisecond
)

// yield lets the gateway server go first while the node boots. All pods of
// before come back at the same moment, and what people wait for is the server:
// beside dozens of sandboxes it would get a small share of few cores. It
// returns when the server listens, and at the latest when a boot should be over.
func (p Plugin) yield(ctx context.Context) {
	booted, err := os.Stat(p.BootFile)
	if err != nil {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, booted.ModTime().Add(yieldFor))
	defer cancel()
	for ctx.Err() == nil && !p.served(ctx) {
		select {
		case <-ctx.Done():
		case <-time.After(yieldPoll):
		}
	}
}

// served reports that a pod of the gateway's listens on its port.
func (p Plugin) served(ctx context.Context) bool {
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(p.Dir, entry.Name()))
		if err != nil {
			continue
		}
		pod, err := netip.ParseAddr(string(data))
		if err != nil {
			continue
		}
		dialer := net.Dialer{Timeout: yieldProbe}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(pod.String(), strconv.Itoa(p.Port)))
		if err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}
