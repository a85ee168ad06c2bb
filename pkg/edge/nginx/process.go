package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/edge/process"
)

// errNotRunning is what a record says of a process that has ended.
var errNotRunning = errors.New("nginx is not running: lib/reset-nginx.sh starts it")

// recorded is the pid that a file of "pid starttime" names, if that process runs
// and is not another one with the same pid.
func recorded(file string) (int, error) {
	p, err := process.Read(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, errNotRunning
	case err != nil:
		return 0, err
	case !p.Runs():
		return 0, errNotRunning
	}
	return p.PID, nil
}

// children of a process, by pid.
func children(parent int) map[int]process.Stat {
	var pids []string
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent)); err == nil {
		pids = strings.Fields(string(data))
	} else if entries, err := os.ReadDir("/proc"); err == nil { // not every kernel has that file
		for _, entry := range entries {
			pids = append(pids, entry.Name())
		}
	}
	found := map[int]process.Stat{}
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if child, ok := process.Look(pid); ok && child.Parent == parent {
			found[pid] = child
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
