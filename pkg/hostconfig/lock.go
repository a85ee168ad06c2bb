package hostconfig

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

const (
	lockPoll = 50 * time.Millisecond

	// Windows forbids others to read the locked byte, and a record of fixed
	// length needs no truncation: the holder stands in bytes 1 to recordSize.
	recordOffset = 1
	recordSize   = 512
)

// holder is the process that has a gateway's lock, as JSON in the lock file.
type holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

func (h holder) String() string {
	return fmt.Sprintf("%s (process %d, since %s)", h.Command, h.PID, h.Since.Local().Format(time.TimeOnly))
}

// Lock takes the gateway's lock, waiting for it until ctx ends; the operating
// system frees it when its holder dies. waiting, if not nil, is called once
// when the lock is taken by another, with a phrase that says by whom. unlock
// may be called more than once.
func (s *Store) Lock(ctx context.Context, name gateway.Name, waiting func(holder string)) (unlock func(), err error) {
	return s.lock(ctx, dirName(name)+".lock", "gateway "+string(name), waiting)
}

// LockImages is Lock for the images of sandboxes that the gateway holds: none
// is removed between its import and the sandbox that needs it. No directory name
// has its sign in the midst.
func (s *Store) LockImages(ctx context.Context, name gateway.Name, waiting func(holder string)) (unlock func(), err error) {
	return s.lock(ctx, dirName(name)+"=images.lock", "the image store of gateway "+string(name), waiting)
}

// LockContainers is Lock for the user containers of a gateway: two commands do
// not make and remove the same one at a time.
func (s *Store) LockContainers(ctx context.Context, name gateway.Name, waiting func(holder string)) (unlock func(), err error) {
	return s.lock(ctx, dirName(name)+"=containers.lock", "the containers of gateway "+string(name), waiting)
}

func (s *Store) lock(ctx context.Context, file, subject string, waiting func(holder string)) (unlock func(), err error) {
	// Outside gateways/<name>, because Remove runs under the lock.
	dir := filepath.Join(s.root, locksDir)
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, file)
	lock := flock.New(path, flock.SetPermissions(fileMode))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, unwritable(path, err)
	}
	if !locked {
		by := readHolder(path)
		if waiting != nil {
			waiting(by)
		}
		if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
			lock.Close()
			if ctx.Err() == nil {
				return nil, unwritable(path, err)
			}
			return nil, fault.New(fault.Locked, fault.ExitConflict, "%s is in use by %s", subject, by).
				Hint("wait for it to end, then run the command again").Because(context.Cause(ctx))
		}
	}
	if err := s.writeHolder(path); err != nil {
		lock.Close()
		return nil, unwritable(path, err)
	}
	return func() { lock.Close() }, nil
}

func (s *Store) writeHolder(path string) error {
	record, err := encodeHolder(holder{PID: os.Getpid(), Command: s.command, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(record, recordOffset)
	return errors.Join(err, f.Close())
}

// encodeHolder pads the record with spaces to recordSize.
func encodeHolder(h holder) ([]byte, error) {
	record, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(record) > recordSize {
		h.Command = "openshell"
		return encodeHolder(h)
	}
	return append(record, bytes.Repeat([]byte{' '}, recordSize-len(record))...), nil
}

// readHolder says who holds the lock at path, as well as it can be known: the
// holder may be between taking the lock and writing its record.
func readHolder(path string) string {
	const unknown = "another openshell"
	f, err := os.Open(path)
	if err != nil {
		return unknown
	}
	defer f.Close()
	record, err := io.ReadAll(io.NewSectionReader(f, recordOffset, recordSize))
	if err != nil {
		return unknown
	}
	h, err := decodeHolder(record)
	if err != nil {
		return unknown
	}
	return h.String()
}

func decodeHolder(record []byte) (holder, error) {
	var h holder
	if err := json.Unmarshal(record, &h); err != nil {
		return holder{}, err
	}
	if h.PID <= 0 || h.Command == "" {
		return holder{}, errors.New("pid or command is missing")
	}
	h.Command = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?' // shown on a terminal
		}
		return r
	}, h.Command)
	return h, nil
}

// commandLine is what a lock file says of this process: the program and the
// words of its verb, without flags and what may follow them.
func commandLine(args []string) string {
	if len(args) == 0 {
		return "openshell"
	}
	words := []string{filepath.Base(args[0])}
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "-") || len(words) == 3 {
			break
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// LockDomain is the same for all processes that share this store's locks, and
// hardly ever for others.
func (s *Store) LockDomain() string {
	host, _ := os.Hostname() // without it the path alone has to do
	sum := sha256.Sum256([]byte(host + "\x00" + s.root))
	return hex.EncodeToString(sum[:8])
}
