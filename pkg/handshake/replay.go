package handshake

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxNonces bounds the memory of a verifier to about 2 MB: 100 connections a
// second for as long as a nonce is remembered. Only who has the key can fill it.
const maxNonces = 1 << 15

var (
	errReplayed = errors.New("nonce seen before")
	errBusy     = errors.New("too many nonces to remember")
)

// replays remembers each nonce for as long as the timestamp beside it can be
// accepted, which for one from the future is longer than skew.
type replays struct {
	mu   sync.Mutex
	seen map[[16]byte]int64 // digest of a nonce -> the last second at which it is valid
	next int64              // no entry ends before this second
}

func newReplays() *replays { return &replays{seen: map[[16]byte]int64{}} }

// add fails for a nonce that it remembers. When its memory is full it fails
// too: to forget one would let it in again.
func (r *replays) add(p preface, now time.Time) error {
	digest := sha256.Sum256([]byte(p.nonce))
	id := [16]byte(digest[:])
	until := p.at + int64(skew/time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now.Unix())
	if _, ok := r.seen[id]; ok {
		return errReplayed
	}
	if len(r.seen) >= maxNonces {
		return errBusy
	}
	r.seen[id] = until
	if len(r.seen) == 1 || until+1 < r.next {
		r.next = until + 1
	}
	return nil
}

// forget looks at the entries only when one of them can have ended.
func (r *replays) forget(now int64) {
	if len(r.seen) == 0 || now < r.next {
		return
	}
	r.next = 0
	for id, until := range r.seen {
		if until < now {
			delete(r.seen, id)
		} else if r.next == 0 || until+1 < r.next {
			r.next = until + 1
		}
	}
}
