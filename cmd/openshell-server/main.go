// Command openshell-server is the gateway server.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"openshell.ai/openshell/pkg/server"
	"openshell.ai/openshell/pkg/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 2 for a wrong command line, 1 for another failure.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("version", version.Version)
	server.LimitMemory()
	cfg, err := server.ParseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		log.Error("command line", "error", err)
		return 2
	}
	if cfg.Handshake, err = server.TakeHandshakeSecret(); err == nil {
		cfg.NewController = server.InCluster(cfg)
		err = serve(ctx, cfg, log)
	}
	if err != nil {
		log.Error("server ended", "error", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, cfg server.Config, log *slog.Logger) error {
	s, err := server.Listen(ctx, cfg, log)
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}
