package journal

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// parts is how many segments make up a full journal: the oldest is dropped
	// as a whole.
	parts = 8
	// spill is how much is kept in memory when it cannot be written.
	spill = 256 << 10
	// backlog is how far an attached reader may lag before the writer waits for
	// it, and stalled how long it is waited for without any progress of it.
	backlog = 1 << 20
	stalled = 10 * time.Second
)

// Journal is the output of all runs. It is safe for concurrent use.
type Journal struct {
	dir     string
	limit   int64
	stalled time.Duration

	mu       sync.Mutex
	segments []*segment // oldest first; the last is written to, if writing
	writing  bool
	next     int                  // number of the next file
	last     int64                // where the next record will be
	readers  map[*Reader]struct{} // those that the writer waits for
	more     chan struct{}        // closed when something was appended; nil: nobody waits
	progress chan struct{}        // closed when an attached reader moved; nil: nobody waits
}

// Open keeps what is in dir, which it makes if need be. At most limit bytes
// are kept. What cannot be read of earlier runs is an error; damaged records
// are passed over when they are read.
func Open(dir string, limit int64) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir) // sorted, and numbers are padded
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, limit: limit, stalled: stalled, next: 1, readers: map[*Reader]struct{}{}}
	for _, f := range files {
		n := segmentNumber(f.Name())
		if n == 0 {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return nil, err
		}
		j.segments = append(j.segments, &segment{number: n, base: j.last, size: info.Size(), path: segmentPath(dir, n)})
		j.next = n + 1
		j.last += info.Size()
	}
	return j, nil
}

// Empty is true when no record is kept.
func (j *Journal) Empty() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.segments) == 0
}

// Append adds a record; its data is longer than a record holds in pieces. It
// waits for attached readers that lag, but not for ever: see Reader. With a
// full disk it keeps the latest in memory.
func (j *Journal) Append(r Record) {
	for piece := range slices.Chunk(r.Data, maxData) {
		r.Data = piece
		j.append(encode(r))
	}
}

func (j *Journal) append(b []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.store(b)
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
	for {
		reader := j.slowest()
		if reader == nil {
			return
		}
		patience := time.Until(reader.moved.Add(j.stalled))
		if patience <= 0 {
			close(reader.lost)
			delete(j.readers, reader)
			continue
		}
		j.await(patience)
	}
}

// slowest returns a reader to wait for, or nil.
func (j *Journal) slowest() *Reader {
	for r := range j.readers {
		if j.last-r.at > backlog {
			return r
		}
	}
	return nil
}

// await gives up the lock until an attached reader has moved.
func (j *Journal) await(patience time.Duration) {
	if j.progress == nil {
		j.progress = make(chan struct{})
	}
	progress := j.progress
	j.mu.Unlock()
	defer j.mu.Lock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-progress:
	case <-t.C:
	}
}

func (j *Journal) store(b []byte) {
	if !j.fits(len(b)) && j.rotate() != nil {
		j.spill()
	}
	current := j.segments[len(j.segments)-1]
	if current.write(b) != nil {
		j.spill()
		current = j.segments[len(j.segments)-1]
		current.write(b) //nolint:errcheck // memory takes everything
	}
	j.last += int64(len(b))
	j.prune()
}

func (j *Journal) fits(n int) bool {
	if !j.writing {
		return false
	}
	current := j.segments[len(j.segments)-1]
	room := j.limit / parts
	if current.path == "" {
		room = min(room, spill)
	}
	return current.size == 0 || current.size+int64(n) <= room
}

func (j *Journal) rotate() error {
	path := segmentPath(j.dir, j.next)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	j.segments = append(j.segments, &segment{number: j.next, base: j.last, path: path, file: f})
	j.next++
	j.writing = true
	return nil
}

// spill goes on in memory, of which there is one segment at most: the one
// before it is lost, which leaves a gap.
func (j *Journal) spill() {
	j.segments = slices.DeleteFunc(j.segments, func(s *segment) bool { return s.path == "" && s.size > 0 })
	j.segments = append(j.segments, &segment{base: j.last})
	j.writing = true
}

func (j *Journal) prune() {
	var total int64
	for _, s := range j.segments {
		total += s.size
	}
	n := 0
	for n < len(j.segments)-1 && (total > j.limit || len(j.segments)-n > 8*parts) {
		total -= j.segments[n].size
		n++
	}
	for _, s := range j.segments[:n] {
		s.remove()
	}
	j.segments = slices.Delete(j.segments, 0, n)
}

// Sync makes what was appended last a power cut.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.writing || j.segments[len(j.segments)-1].path == "" {
		return nil
	}
	if err := j.segments[len(j.segments)-1].file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
