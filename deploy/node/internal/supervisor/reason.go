package supervisor

import (
	"fmt"
	"regexp"
	"syscall"
)

// reason remembers the line of a program's output that best says why it ended:
// the last one its logger marked as an error, else the last one.
type reason struct {
	last, lastError string
}

// Loggers of the node's programs: klog ("E1121 …", "F1121 …"), logrus
// (level=fatal), zap in JSON ("level":"fatal"), Go's runtime ("panic: …", "fatal error: …").
var errorLine = regexp.MustCompile(`^[EF]\d{4} |level=(error|fatal|panic)|"level":"(error|fatal|panic)"|^panic: |^(Error|error|fatal error): `)

const maxReason = 300

func newReason() *reason { return &reason{} }

func (r *reason) see(line string) {
	if line == "" {
		return
	}
	r.last = line
	if errorLine.MatchString(line) {
		r.lastError = line
	}
}

func (r *reason) line() string {
	line := r.lastError
	if line == "" {
		line = r.last
	}
	if len(line) > maxReason {
		line = line[:maxReason] + "…"
	}
	return line
}

// describe says in one line how a program ended.
func describe(status syscall.WaitStatus, line string) string {
	how := fmt.Sprintf("exit code %d", status.ExitStatus())
	if status.Signaled() {
		how = "signal " + status.Signal().String()
	}
	if line == "" {
		return how
	}
	return how + ": " + line
}
