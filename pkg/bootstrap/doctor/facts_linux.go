package doctor

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dataDir is where Docker keeps volumes unless it was told otherwise.
const dataDir = "/var/lib/docker"

// Local reads the facts of this host. What cannot be read stays unknown: this
// user may not see it, or the engine runs elsewhere.
func Local() Facts {
	var f Facts
	if data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances"); err == nil {
		f.InotifyInstances = parseCount(string(data))
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dataDir, &disk); err == nil {
		f.FreeBytes, f.DataDir = disk.Bavail*uint64(disk.Bsize), dataDir
	}
	return f
}

func parseCount(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
