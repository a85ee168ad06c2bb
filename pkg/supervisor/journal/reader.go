package journal

import "time"

// Reader goes through the journal from its oldest record.
type Reader struct {
	j     *Journal
	at    int64
	moved time.Time // when at changed last
	lost  chan struct{}
}

// Reader returns one that the writer does not wait for. What is dropped before
// it was read is passed over.
func (j *Journal) Reader() *Reader {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &Reader{j: j, moved: time.Now(), lost: make(chan struct{})}
}

// Attach returns one that the writer waits for when it lags, so that nothing is
// passed over, as long as it moves. It is to be closed.
func (j *Journal) Attach() *Reader {
	r := j.Reader()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.readers[r] = struct{}{}
	return r
}

// Close lets the writer go on without the reader.
func (r *Reader) Close() {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	delete(r.j.readers, r)
	r.j.progressed()
}

// Next returns the next record; false says that there is none yet.
func (r *Reader) Next() (Record, bool) {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.progressed()
	for _, s := range j.segments {
		if r.at >= s.end() {
			continue
		}
		r.at = max(r.at, s.base)
		record, n, err := s.read(r.at)
		r.moved = time.Now()
		if err != nil { // the rest of this segment cannot be understood
			r.at = s.end()
			continue
		}
		r.at += n
		return record, true
	}
	return Record{}, false
}

// Lost is closed when an attached reader stood still while the writer had to
// wait for it: the writer does so no longer.
func (r *Reader) Lost() <-chan struct{} { return r.lost }

// More is closed when there may be more than Next has returned. It is asked for
// before Next, so that nothing is missed.
func (r *Reader) More() <-chan struct{} {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more == nil {
		j.more = make(chan struct{})
	}
	return j.more
}

func (j *Journal) progressed() {
	if j.progress != nil {
		close(j.progress)
		j.progress = nil
	}
}
