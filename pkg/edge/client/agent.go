package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

const (
	shortPause = time.Second
	longPause  = 30 * time.Second
)

// Agent joins a gateway's VPN and stays joined.
type Agent struct {
	Package Package
	OpenVPN string // the program; empty: openvpn of the PATH
	Log     *slog.Logger
}

// Run joins, tells the gateway every ten seconds that the container is alive and
// which services it has, and joins again when the connection ends. It returns
// nil when ctx ends; an error says what waiting does not mend.
func (a Agent) Run(ctx context.Context) error {
	program, err := exec.LookPath(cmp.Or(a.OpenVPN, "openvpn"))
	if err != nil {
		return fmt.Errorf("the container needs OpenVPN: %w", err)
	}
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the container needs the device /dev/net/tun and the capability NET_ADMIN")
	}
	dir, err := secretDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	credentials := a.Package.ID + "\n" + a.Package.Token + "\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, configFile), []byte(a.Package.Config), 0o600),
		os.WriteFile(filepath.Join(dir, credentialsFile), []byte(credentials), 0o600)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := newReporter(a.Package, a.Log)
	var reporting sync.WaitGroup
	reporting.Go(func() { r.run(ctx) })
	defer reporting.Wait()
	defer cancel()
	return a.stay(ctx, connection{program, dir, a.Log, r.joined})
}

// stay connects again and again, each time after a longer pause until a
// connection has been there.
func (a Agent) stay(ctx context.Context, c connection) error {
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		a.Log.Info("joining the VPN", "container", a.Package.Name, "remotes", a.Package.Remotes)
		joined, err := c.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if joined {
			pause = shortPause
		}
		a.Log.Warn("not connected", "reason", err, "again_in", pause.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// secretDir makes a directory for secrets, in memory where there is such a place.
func secretDir() (string, error) {
	const name = "openshell-vpn-"
	if dir, err := os.MkdirTemp("/dev/shm", name); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", name)
}
