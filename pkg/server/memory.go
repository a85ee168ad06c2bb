package server

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupLimits are where a container finds its limit of memory, in version 2
// and in version 1.
func cgroupLimits() []string {
	return []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
}

// LimitMemory has the garbage collector work harder before the container's
// limit is reached, which the kernel answers by killing the server. GOMEMLIMIT,
// if set, stands.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit, ok := memoryLimit(cgroupLimits()); ok {
		debug.SetMemoryLimit(limit)
	}
}

// memoryLimit is nine tenths of the first limit that is set.
func memoryLimit(files []string) (int64, bool) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // of the other version
		}
		// Version 1 writes "none" as a number near the largest.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && n < math.MaxInt64/2 {
			return n / 10 * 9, true
		}
	}
	return 0, false
}
