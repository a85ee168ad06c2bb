// Package portforward keeps ports of this host forwarded to ports of sandboxes.
// Each is a process of its own, which outlives the command that started it and
// is known by a control socket: a file of one that is no more, after a crash or
// a restart of the machine, has a socket that nobody answers.
package portforward

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/fault"
)

// Spec is a port of this host's loopback and the one it leads to.
type Spec struct {
	Gateway string `json:"gateway"`
	Sandbox string `json:"sandbox"`
	ID      string `json:"id"` // of the sandbox
	Local   int    `json:"localPort"`
	Port    int    `json:"port"`
}

// Report is what a forward says of itself.
type Report struct {
	Spec
	StartedAt time.Time `json:"startedAt"`
	Connected bool      `json:"connected"`       // to the sandbox
	Open      int       `json:"connections"`     // at present
	Error     string    `json:"error,omitempty"` // why it is not connected
}

// record is the file of a forward.
type record struct {
	Spec
	Socket string `json:"socket"`
}

const (
	recordSuffix = ".json"
	socketSuffix = ".sock"

	controlTime = 2 * time.Second // for an answer on a control socket
	stopTime    = 5 * time.Second

	// maxSocketPath is what every system accepts in a socket's address.
	maxSocketPath = 100
)

// What may be asked on a control socket, one word a connection.
const (
	askReport = "report"
	askStop   = "stop"
)

// List are the forwards of a directory that run, by their local port. What is
// left of others is removed.
func List(dir string) ([]Report, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var reports []Report
	for _, entry := range entries {
		local, err := strconv.Atoi(strings.TrimSuffix(entry.Name(), recordSuffix))
		if err != nil || !strings.HasSuffix(entry.Name(), recordSuffix) {
			continue
		}
		report, err := ask(dir, local, askReport)
		if errors.Is(err, errDead) {
			continue
		}
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	sort.Slice(reports, func(i, j int) bool { return reports[i].Local < reports[j].Local })
	return reports, nil
}

// Stop ends the forward of a local port and returns when the port is free.
func Stop(dir string, local int) error {
	_, err := ask(dir, local, askStop)
	if errors.Is(err, errDead) {
		return absent(local)
	}
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(stopTime); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(recordPath(dir, local)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return fault.New(fault.Internal, fault.ExitFailure, "the forward of port %d did not end", local)
}

func absent(local int) error {
	return fault.New(fault.ForwardAbsent, fault.ExitFailure, "no forward of port %d is running", local).
		Hint("`openshell forward list` shows those there are")
}

// errDead says that no forward runs.
var errDead = errors.New("no forward answers")

// ask puts a question to the forward of a local port. When nobody is there to
// answer, its files are removed and the error is errDead.
func ask(dir string, local int, question string) (Report, error) {
	path := recordPath(dir, local)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Report{}, errDead
	}
	if err != nil {
		return Report{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.Socket == "" {
		// Written at once or not at all: this is not ours to understand.
		return Report{}, fault.New(fault.HostFiles, fault.ExitFailure, "%s is damaged", path).
			Hint("delete the file if `openshell forward list` cannot read it").Because(err)
	}
	conn, err := net.DialTimeout("unix", r.Socket, controlTime)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, fs.ErrPermission) {
			return Report{}, err
		}
		if again, err := os.ReadFile(path); err == nil && bytes.Equal(again, data) { // else a new one has begun
			os.Remove(path)
			r.removeSocket(dir)
		}
		return Report{}, errDead
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(controlTime)); err != nil {
		return Report{}, err
	}
	if _, err := conn.Write([]byte(question + "\n")); err != nil {
		return Report{}, errDead // it was ending
	}
	var report Report
	if err := json.NewDecoder(conn).Decode(&report); err != nil {
		return Report{}, errDead
	}
	return report, nil
}

func recordPath(dir string, local int) string {
	return filepath.Join(dir, strconv.Itoa(local)+recordSuffix)
}

// LogPath is where the process of a forward writes what goes wrong.
func LogPath(dir string, local int) string { return filepath.Join(dir, strconv.Itoa(local)+".log") }

// socketFor is a place for a control socket, in dir or, when that is too long
// for an address, in a directory made for it.
func socketFor(dir string, local int) (string, error) {
	path := filepath.Join(dir, strconv.Itoa(local)+socketSuffix)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	made, err := os.MkdirTemp("", "openshell-forward-") // made 0700
	if err != nil {
		return "", err
	}
	return filepath.Join(made, strconv.Itoa(local)+socketSuffix), nil
}

// removeSocket removes the socket, and the directory if it was made for it.
func (r record) removeSocket(dir string) {
	os.Remove(r.Socket)
	if parent := filepath.Dir(r.Socket); parent != dir {
		os.Remove(parent)
	}
}
