// Package process reads what the edge's scripts recorded of processes, and
// whether those still run.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process is one that was recorded: its pid, and when the kernel started it, by
// which another process with that pid is not taken for it.
type Process struct {
	PID     int
	Started string // in ticks since the boot
}

// Read reads a file of "pid starttime"; what a marker says after those is passed
// over.
func Read(file string) (Process, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Process{}, err
	}
	p, err := Parse(string(data))
	if err != nil {
		return Process{}, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// Parse reads the content of such a file.
func Parse(record string) (Process, error) {
	fields := strings.Fields(record)
	if len(fields) < 2 {
		return Process{}, errors.New("it has no pid and start time")
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid < 1 {
		return Process{}, fmt.Errorf("%q is no pid", fields[0])
	}
	return Process{pid, fields[1]}, nil
}

// Running reports whether the process runs that a file records.
func Running(file string) bool {
	p, err := Read(file)
	return err == nil && p.Runs()
}

// Runs: it has not ended, nor only waits to be reaped.
func (p Process) Runs() bool {
	now, ok := Look(p.PID)
	return ok && now.Started == p.Started
}

// Program is the file that it executes; "" if that cannot be told.
func (p Process) Program() string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
	if err != nil {
		return ""
	}
	return path
}

// Stat is what the kernel says of a process.
type Stat struct {
	Parent  int
	Started string // in ticks since the boot
}

// Look reads a process that runs; one that waits to be reaped does not.
func Look(pid int) (Stat, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, false
	}
	return parseStat(data)
}

func parseStat(data []byte) (Stat, bool) {
	// The name in parentheses may contain anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	const state, parent, started = 0, 1, 19
	if len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return Stat{}, false
	}
	pid, err := strconv.Atoi(fields[parent])
	return Stat{pid, fields[started]}, err == nil
}
