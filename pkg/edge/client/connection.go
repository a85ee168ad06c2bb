package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	configFile      = "client.conf"
	credentialsFile = "credentials"

	// graceful is how long OpenVPN may take to say good-bye.
	graceful = 5 * time.Second
)

var errRefused = errors.New("the gateway refuses this container: it was removed, or has a newer package")

// connection is one run of OpenVPN.
type connection struct {
	program, dir string
	log          *slog.Logger
	joined       func(bool) // told whenever the connection is there, and when it is not
}

// run answers whether the connection was there, and why it ended.
func (c connection) run(ctx context.Context) (joined bool, err error) {
	// OpenVPN ends with the thread that started it, so the thread stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// What is on the command line comes after the file and wins.
	cmd := exec.CommandContext(ctx, c.program, "--config", filepath.Join(c.dir, configFile),
		"--auth-user-pass", filepath.Join(c.dir, credentialsFile), "--script-security", "1", "--suppress-timestamps")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = graceful
	endWithParent(cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return false, err
	}
	defer c.joined(false)
	var said output
	said.follow(stdout, c.log, func(up bool) {
		joined = joined || up
		c.joined(up)
	})
	err = cmd.Wait()
	if said.refused {
		return joined, errRefused
	}
	if said.last != "" {
		return joined, fmt.Errorf("OpenVPN ended: %s", said.last)
	}
	return joined, fmt.Errorf("OpenVPN ended: %w", errors.Join(err, ctx.Err()))
}

// output is what matters of what OpenVPN prints.
type output struct {
	refused bool
	last    string
}

// follow reads until OpenVPN closes its end.
func (o *output) follow(from io.Reader, log *slog.Logger, changed func(up bool)) {
	lines := bufio.NewReaderSize(from, 4<<10)
	inside := false // of a line that is far longer than anything OpenVPN prints
	for {
		data, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		skip := inside || more
		inside = more
		if skip {
			continue
		}
		line := printable(string(data))
		log.Debug("OpenVPN: " + line)
		switch {
		case strings.Contains(line, "Initialization Sequence Completed"):
			log.Info("joined the VPN")
			changed(true)
		case strings.Contains(line, "AUTH_FAILED"):
			o.refused = true
		case strings.Contains(line, "process restarting"):
			log.Warn("the connection ended, joining again", "reason", line)
			changed(false)
		}
		if line != "" && !strings.Contains(line, "SIGTERM") && !strings.HasPrefix(line, "Exiting due to fatal error") {
			o.last = line
		}
	}
}

// printable drops what could mislead a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}
