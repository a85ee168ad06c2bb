package journal

import (
	"bytes"
	"time"
)

// maxLine is the longest line; what is longer becomes several.
const maxLine = 64 << 10

// Line is a line of output without its end. At is when it began.
type Line struct {
	At     time.Time
	Stream Stream
	Text   string
}

// Lines makes lines of records.
type Lines struct {
	Emit func(Line)

	run    int
	begun  map[Stream]time.Time
	begins map[Stream][]byte
}

// Add emits the lines that a record completes.
func (l *Lines) Add(r Record) {
	if r.Run != l.run {
		l.Flush()
		l.run, l.begun, l.begins = r.Run, map[Stream]time.Time{}, map[Stream][]byte{}
	}
	for rest := r.Data; len(rest) > 0; {
		if len(l.begins[r.Stream]) == 0 {
			l.begun[r.Stream] = r.At
		}
		piece, after, complete := bytes.Cut(rest, []byte{'\n'})
		if room := maxLine - len(l.begins[r.Stream]); len(piece) > room {
			piece, after, complete = piece[:room], rest[room:], true
		}
		l.begins[r.Stream] = append(l.begins[r.Stream], piece...)
		if complete {
			l.emit(r.Stream)
		}
		rest = after
	}
}

// Flush emits the lines that have no end, as those of a run that is over.
func (l *Lines) Flush() {
	for _, stream := range []Stream{Stdout, Stderr} {
		if len(l.begins[stream]) > 0 {
			l.emit(stream)
		}
	}
}

func (l *Lines) emit(stream Stream) {
	text := bytes.TrimRight(l.begins[stream], "\r")
	l.Emit(Line{At: l.begun[stream], Stream: stream, Text: string(text)})
	l.begins[stream] = l.begins[stream][:0]
}
