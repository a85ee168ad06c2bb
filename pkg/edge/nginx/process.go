package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// errNotRunning is what a record says of a process that has ended.
var errNotRunning = errors.New("nginx is not running: lib/reset-nginx.sh starts it")

// recorded is the pid that a file of "pid starttime" names, if that process runs
// and is not another one with the same pid.
func recorded(file string) (int, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, errNotRunning
	}
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0, fmt.Errorf("%s is not of the form \"pid starttime\"", file)
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("%s has the pid %q", file, fields[0])
	}
	if process, ok := look(pid); !ok || process.started != fields[1] {
		return 0, errNotRunning
	}
	return pid, nil
}

// process is what the kernel says of one.
type process struct {
	parent  int
	started string // in ticks since the boot
}

// look reads a process that runs; one that waits to be reaped does not.
func look(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name in parentheses may contain anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return process{parent, fields[19]}, err == nil
}

// children of a process, by pid.
func children(parent int) map[int]process {
	var pids []string
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent)); err == nil {
		pids = strings.Fields(string(data))
	} else if entries, err := os.ReadDir("/proc"); err == nil { // not every kernel has that file
		for _, entry := range entries {
			pids = append(pids, entry.Name())
		}
	}
	found := map[int]process{}
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if process, ok := look(pid); ok && process.parent == parent {
			found[pid] = process
		}
	}
	return found
}

// retiring tells whether a worker takes no more connections: nginx says so in
// its title.
func retiring(pid int) bool {
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || bytes.Contains(title, []byte("shutting down"))
}
