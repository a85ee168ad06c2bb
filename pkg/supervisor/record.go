//go:build linux

package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// recordFile remembers how the command fared.
type recordFile struct{ dir string }

// Neither means that the command never ran.
var (
	errDamaged = errors.New("the record of the command is damaged")
	errLost    = errors.New("the record of the command is lost")
)

// envelope makes a record recognisable that was written in part.
type envelope struct {
	Sum    uint32          `json:"crc32"` // of Status as it stands here
	Status json.RawMessage `json:"status"`
}

func (f recordFile) path() string { return filepath.Join(f.dir, "command.json") }

// reserve holds a block of the disk, for the day when it is full and a command
// ends.
func (f recordFile) reserve() string { return filepath.Join(f.dir, "reserve") }

// load returns nil if nothing was ever recorded, and errDamaged or an error of
// reading otherwise: neither means that there is none.
func (f recordFile) load() (*sandboxapi.CommandStatus, error) {
	content, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(content)
}

func parseRecord(content []byte) (*sandboxapi.CommandStatus, error) {
	var e envelope
	if json.Unmarshal(content, &e) != nil || e.Sum != crc32.ChecksumIEEE(e.Status) {
		return nil, errDamaged
	}
	var s sandboxapi.CommandStatus
	if json.Unmarshal(e.Status, &s) != nil || s.Runs < 1 {
		return nil, errDamaged
	}
	switch s.State {
	case sandboxapi.CommandRunning, sandboxapi.CommandExited, sandboxapi.CommandInterrupted:
		return &s, nil
	}
	return nil, errDamaged
}

// save returns when the record would survive a power cut.
func (f recordFile) save(s sandboxapi.CommandStatus) error {
	status, err := json.Marshal(s)
	if err != nil {
		return err
	}
	content, err := json.Marshal(envelope{crc32.ChecksumIEEE(status), status})
	if err != nil {
		return err
	}
	err = f.replace(content)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if os.Remove(f.reserve()) == nil {
			err = f.replace(content)
		}
	} else if err == nil {
		f.keepReserve()
	}
	if err != nil {
		return fmt.Errorf("record the command's state: %w", err)
	}
	return nil
}

func (f recordFile) replace(content []byte) error {
	temporary := f.path() + ".new"
	if err := writeSynced(temporary, content); err != nil {
		os.Remove(temporary)
		return err
	}
	if err := os.Rename(temporary, f.path()); err != nil {
		return err
	}
	return durable.SyncDir(f.dir)
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// keepReserve does what it can: the reserve is a precaution.
func (f recordFile) keepReserve() {
	if _, err := os.Lstat(f.reserve()); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if os.WriteFile(f.reserve(), make([]byte, 8<<10), 0o600) != nil {
		os.Remove(f.reserve())
	}
}
