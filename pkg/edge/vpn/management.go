package vpn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/edge/containers"
)

const (
	managementTimeout = 3 * time.Second
	maxManagement     = 64 << 10
)

// Ready reports by an error that the daemon behind a management socket has not
// finished its start.
func Ready(ctx context.Context, socket string) error {
	state := ""
	err := ask(ctx, socket, "state", func(line string) bool {
		if line == "END" {
			return true
		}
		state = line
		return false
	})
	if err != nil {
		return err
	}
	// The time and the state, like 1700000000,CONNECTED,SUCCESS,172.16.0.1,,,,
	if fields := strings.Split(state, ","); len(fields) < 3 || fields[1] != "CONNECTED" || fields[2] != "SUCCESS" {
		return fmt.Errorf("state of OpenVPN is %q", state)
	}
	return nil
}

// Disconnect ends the connection of a container, if it has one.
func Disconnect(ctx context.Context, runDir, id string) error {
	if err := containers.CheckID(id); err != nil {
		return err
	}
	server, err := ServerIn(runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	answer := ""
	err = ask(ctx, filepath.Join(server.TempDir, "management.sock"), "kill "+id, func(line string) bool {
		answer = line
		return strings.HasPrefix(line, "SUCCESS:") || strings.HasPrefix(line, "ERROR:")
	})
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(answer, "not found") {
		return nil
	}
	if err == nil && strings.HasPrefix(answer, "ERROR:") {
		err = fmt.Errorf("OpenVPN: %s", answer)
	}
	return err
}

// ask sends a command and gives the lines of the answer to last, until that is
// true. The news that OpenVPN sends between them, which begin with >, it does not get.
func ask(ctx context.Context, socket, command string, last func(line string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, managementTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return err
	}
	lines := bufio.NewScanner(io.LimitReader(conn, maxManagement))
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if !strings.HasPrefix(line, ">") && last(line) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the management socket of OpenVPN closed before its answer ended")
}
