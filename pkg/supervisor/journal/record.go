// Package journal keeps the output of a sandbox's command: bounded, with times,
// across restarts, readable from any point while it is written.
package journal

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Stream is where output came from.
type Stream byte

// The streams of a process. A terminal has Stdout only.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Record is one piece of output, as it was read from the process.
type Record struct {
	At     time.Time
	Run    int // of the command, from 1
	Stream Stream
	Data   []byte
}

// A record on disk: CRC-32 of what follows, length of the data, nanoseconds
// since 1970, run, stream, data. All big-endian.
const (
	headerSize = 4 + 4 + 8 + 4 + 1
	maxData    = 64 << 10
)

func encode(r Record) []byte {
	b := make([]byte, headerSize+len(r.Data))
	binary.BigEndian.PutUint32(b[4:], uint32(len(r.Data)))
	binary.BigEndian.PutUint64(b[8:], uint64(r.At.UnixNano()))
	binary.BigEndian.PutUint32(b[16:], uint32(r.Run))
	b[20] = byte(r.Stream)
	copy(b[headerSize:], r.Data)
	binary.BigEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

// dataLength reads a header; false says that it cannot be one.
func dataLength(header []byte) (int, bool) {
	n := binary.BigEndian.Uint32(header[4:])
	return int(n), n <= maxData
}

// decode reads a whole record; false says that it is damaged.
func decode(b []byte) (Record, bool) {
	if binary.BigEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]) {
		return Record{}, false
	}
	r := Record{
		At:     time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))),
		Run:    int(binary.BigEndian.Uint32(b[16:])),
		Stream: Stream(b[20]),
		Data:   b[headerSize:],
	}
	return r, r.Stream == Stdout || r.Stream == Stderr
}
