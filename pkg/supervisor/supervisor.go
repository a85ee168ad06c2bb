//go:build linux

// Package supervisor is PID 1 of a sandbox: it reaps, runs the sandbox's
// command, and lets clients in over SSH, all as the sandbox user.
package supervisor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/supervisor/journal"
	"openshell.ai/openshell/pkg/supervisor/proc"
	"openshell.ai/openshell/pkg/version"
)

// settling is how long the end of the command may take to be recorded once its
// process is gone.
const settling = 2 * time.Second

type supervisor struct {
	cfg     Config
	log     *slog.Logger
	own     *ownLog
	table   *proc.Table
	account account
	env     environment
	journal *journal.Journal // nil without a command
	command *command         // nil: the sandbox has none

	listeners *listeners
}

// Main is the program. It returns its exit code.
func Main(args []string, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 1 && args[0] == verbSFTP:
		err = serveFiles()
	case len(args) == 2 && args[0] == verbUnix:
		err = connectUnix(args[1])
	case len(args) > 0:
		fmt.Fprintln(stderr, "openshell-sandbox: no arguments are expected")
		return 2
	case os.Getpid() != 1 || os.Getuid() != 0:
		fmt.Fprintln(stderr, "openshell-sandbox: this is the first process of a sandbox, started by the gateway")
		return 2
	default:
		err = supervise(stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "openshell-sandbox:", err)
		return 1
	}
	return 0
}

// supervise returns when the sandbox has been told to stop and nothing runs in
// it any more.
func supervise(stderr io.Writer) error {
	// Fifty of these run on a laptop. The heap is one or two megabytes.
	debug.SetGCPercent(50)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	// Caught, not ignored, because children would inherit that. None of them may
	// end this process.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)

	cfg, err := ParseEnviron(os.Environ())
	if err != nil {
		return err
	}
	if err := harden(); err != nil {
		return err
	}
	s, err := newSupervisor(cfg, stderr)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	d, err := newDaemon(s, listener)
	if err != nil {
		return err
	}
	go d.accept()
	s.log.Info("sandbox is up", "id", cfg.ID, "version", version.Version, "listen", listener.Addr().String())
	if s.command != nil {
		s.command.begin()
	}
	<-told
	s.stop()
	return nil
}

func newSupervisor(cfg Config, stderr io.Writer) (*supervisor, error) {
	log, own := newLog(stderr, cfg.LogLevel)
	if err := prepare(cfg); err != nil {
		return nil, err
	}
	a, err := ensureAccount(cfg)
	if err != nil {
		log.Warn("the image's accounts stay as they are", "error", err)
	}
	user, err := readEnvironment(cfg.Secret)
	if err != nil {
		return nil, err
	}
	s := &supervisor{
		cfg: cfg, log: log, own: own, account: a,
		table: proc.NewTable(sandboxapi.UID, sandboxapi.GID),
		env:   base(cfg, a, user),

		listeners: newListeners(),
	}
	if cfg.Command == nil {
		return s, nil
	}
	if s.journal, err = journal.Open(filepath.Join(cfg.StateDir, "output"), sandboxapi.ReplayBytes); err != nil {
		return nil, err
	}
	s.command = &command{
		spec: *cfg.Command, log: log, table: s.table, journal: s.journal,
		records: recordFile{cfg.StateDir}, dir: cfg.Workspace, env: s.env,
		settled: make(chan struct{}),
	}
	return s, nil
}

func (s *supervisor) stop() {
	s.log.Info("sandbox stops")
	s.table.Stop(s.cfg.Grace, func() {
		if s.command != nil {
			s.command.stop()
		}
	})
	if s.command == nil {
		return
	}
	select {
	case <-s.command.settled:
	case <-time.After(settling):
		s.log.Error("command", "error", errors.New("its end could not be recorded"))
	}
	s.listeners.end()
}
