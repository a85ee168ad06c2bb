package edgecli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// process is one that a script has recorded: its pid, and when the kernel started
// it, by which a recycled pid is not taken for it.
type process struct {
	pid   int
	start string
}

// readProcess reads a file of the scripts' record or mark.
func readProcess(path string) (process, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return process{}, err
	}
	p, err := parseProcess(string(data))
	if err != nil {
		return process{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func parseProcess(record string) (process, error) {
	fields := strings.Fields(record)
	if len(fields) < 2 {
		return process{}, errors.New("it has no pid and start time")
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 0 {
		return process{}, fmt.Errorf("%q is no pid", fields[0])
	}
	return process{pid, fields[1]}, nil
}

// alive: not gone, nor only waiting to be reaped.
func (p process) alive() bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return false
	}
	// The name in parentheses may contain anything.
	stat := string(data)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	return len(fields) > 19 && fields[0] != "Z" && fields[0] != "X" && fields[19] == p.start
}

// program is the file that the process runs; nothing if that cannot be told.
func (p process) program() string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
	if err != nil {
		return ""
	}
	return path
}
