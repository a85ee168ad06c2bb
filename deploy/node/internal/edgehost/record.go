package edgehost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// recorded reports whether the process runs that a script noted in a file as
// "pid starttime", which tells it from another that has its pid now.
func recorded(file string) bool {
	_, runs := recordedPID(file)
	return runs
}

func recordedPID(file string) (pid int, runs bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	pid, started, err := parseRecord(string(data))
	if err != nil {
		return 0, false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	now, alive := parseStat(stat)
	return pid, alive && now == started
}

func parseRecord(text string) (pid int, started uint64, err error) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0, 0, fmt.Errorf("%q is not a pid and a start time", text)
	}
	if pid, err = strconv.Atoi(fields[0]); err != nil || pid < 1 {
		return 0, 0, fmt.Errorf("%q is no pid", fields[0])
	}
	started, err = strconv.ParseUint(fields[1], 10, 64)
	return pid, started, err
}

// parseStat reads the start time in ticks from /proc/PID/stat, and whether the
// process has not ended yet. The name in parentheses may contain anything.
func parseStat(stat []byte) (started uint64, alive bool) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const state, startTime = 0, 19
	if len(fields) <= startTime || bytes.Equal(fields[state], []byte("Z")) || bytes.Equal(fields[state], []byte("X")) {
		return 0, false
	}
	started, err := strconv.ParseUint(string(fields[startTime]), 10, 64)
	return started, err == nil
}
