// Package script runs the scripts of the edge as app-gateway does: through
// main.sh, bounded in time and output, with an answer in JSON.
package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Name is a script that app-gateway may run.
type Name string

// The scripts in bin.
const (
	UpdateNginxLocations Name = "update-nginx-locations"
	ResetGateway         Name = "reset-gateway"
)

const (
	maxAnswer = 1 << 20
	maxStderr = 4 << 10 // the end of it
	// pipeGrace is for what a script left running with its output open.
	pipeGrace = time.Second
)

// Answer is the object that a script printed.
type Answer struct {
	Status, Error string
	Raw           json.RawMessage // the whole of it
}

// Error is how a script failed.
type Error struct {
	Script Name
	Reason string // the script's own words where it had any
	Stderr string // the end of it
	Err    error  // of running it; nil when it ran and refused
}

func (e *Error) Error() string {
	message := fmt.Sprintf("script %s: %s", e.Script, e.Reason)
	if e.Stderr != "" {
		message += ": stderr: " + e.Stderr
	}
	return message
}

func (e *Error) Unwrap() error { return e.Err }

// Runner runs the scripts of a directory.
type Runner struct {
	Dir   string        // holds main.sh
	Limit time.Duration // of one run
}

// Run runs a script with input as its stdin. What goes wrong is an *Error.
func (r Runner) Run(ctx context.Context, name Name, input string) (Answer, error) {
	if name != UpdateNginxLocations && name != ResetGateway {
		return Answer{}, &Error{Script: name, Reason: "app-gateway does not run this script"}
	}
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.Dir, "main.sh"), "-r", "bin/"+string(name)+".sh")
	stdout, stderr := head{limit: maxAnswer}, tail{limit: maxStderr}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	// A group of its own, so that what the script started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeGrace
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the script itself ended well
	}
	failure := &Error{Script: name, Stderr: stderr.String(), Err: err}
	switch {
	case ctx.Err() != nil && err != nil:
		failure.Err = ctx.Err()
		failure.Reason = fmt.Sprintf("was ended: %v (its limit is %s)", ctx.Err(), r.Limit)
		return Answer{}, failure
	case stdout.over:
		failure.Reason = fmt.Sprintf("its answer is longer than %d bytes", maxAnswer)
		return Answer{}, failure
	}
	if cmd.ProcessState == nil {
		failure.Reason = fmt.Sprintf("cannot be run: %v", err)
		return Answer{}, failure
	}
	answer, decodeErr := decode(stdout.data)
	switch {
	case decodeErr != nil && err != nil:
		failure.Reason = fmt.Sprintf("%v, without an answer in JSON", err)
	case decodeErr != nil:
		failure.Reason, failure.Err = decodeErr.Error(), decodeErr
	case answer.Status == "ok" && err == nil:
		return answer, nil
	case answer.Status == "ok":
		failure.Reason = fmt.Sprintf("answers ok, but: %v", err)
	default:
		failure.Reason = answer.Error
	}
	return answer, failure
}

// outcome is what every answer says.
type outcome struct{ Status, Error string }

// decode reads exactly one object.
func decode(data []byte) (Answer, error) {
	var answer Answer
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&answer.Raw); err != nil {
		return Answer{}, fmt.Errorf("its answer is not a JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Answer{}, errors.New("its answer is more than one JSON object")
	}
	var fields outcome
	if err := json.Unmarshal(answer.Raw, &fields); err != nil {
		return Answer{}, fmt.Errorf("its answer is not an object with a status: %w", err)
	}
	answer.Status, answer.Error = fields.Status, fields.Error
	switch {
	case answer.Status == "ok":
	case answer.Status == "error" && answer.Error != "":
	default:
		return Answer{}, fmt.Errorf(`its answer has status %q and error %q, want "ok", or "error" and a reason`, answer.Status, answer.Error)
	}
	return answer, nil
}

// head keeps the beginning of what is written. It takes the rest too, so that
// the script does not end of a closed pipe.
type head struct {
	data  []byte
	limit int
	over  bool
}

func (h *head) Write(p []byte) (int, error) {
	kept := p[:min(len(p), h.limit-len(h.data))]
	h.over = h.over || len(kept) < len(p)
	h.data = append(h.data, kept...)
	return len(p), nil
}

// tail keeps the end.
type tail struct {
	data  []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if extra := len(t.data) - t.limit; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(strings.TrimSpace(string(t.data)), "?") }
