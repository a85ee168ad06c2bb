package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// segment is a part of the journal: a file, or memory while the disk is full.
// The positions of its records begin at base.
type segment struct {
	number     int
	base, size int64
	path       string // empty: in memory
	file       *os.File
	memory     []byte
}

const suffix = ".log"

func segmentPath(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, suffix))
}

// segmentNumber is 0 for a file that is no segment.
func segmentNumber(name string) int {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return 0
	}
	return n
}

func (s *segment) end() int64 { return s.base + s.size }

// write appends a whole record or nothing: what a failed write left behind is
// overwritten, or is beyond size.
func (s *segment) write(b []byte) error {
	if s.path == "" {
		s.memory = append(s.memory, b...)
	} else if _, err := s.file.WriteAt(b, s.size); err != nil {
		return err
	}
	s.size += int64(len(b))
	return nil
}

// read returns the record at a position of the journal, and its length.
func (s *segment) read(at int64) (Record, int64, error) {
	r, err := s.reader()
	if err != nil {
		return Record{}, 0, err
	}
	from := at - s.base
	header := make([]byte, headerSize)
	if from+headerSize > s.size {
		return Record{}, 0, io.ErrUnexpectedEOF
	}
	if _, err := r.ReadAt(header, from); err != nil {
		return Record{}, 0, err
	}
	n, ok := dataLength(header)
	if !ok || from+headerSize+int64(n) > s.size {
		return Record{}, 0, errDamaged
	}
	b := append(header, make([]byte, n)...)
	if _, err := r.ReadAt(b[headerSize:], from+headerSize); err != nil && n > 0 {
		return Record{}, 0, err
	}
	record, ok := decode(b)
	if !ok {
		return Record{}, 0, errDamaged
	}
	return record, int64(len(b)), nil
}

var errDamaged = errors.New("damaged record")

func (s *segment) reader() (io.ReaderAt, error) {
	if s.path == "" {
		return memoryAt(s.memory), nil
	}
	if s.file == nil { // of an earlier run, not read so far
		f, err := os.Open(s.path)
		if err != nil {
			return nil, err
		}
		s.file = f
	}
	return s.file, nil
}

// remove deletes it. One that stays is too old to be read, and goes the next time.
func (s *segment) remove() {
	if s.file != nil {
		s.file.Close()
	}
	if s.path != "" {
		os.Remove(s.path)
	}
}

type memoryAt []byte

func (m memoryAt) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[at:])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}
