package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	accepted = "OK\n"
	refused  = "ERR\n"
	// patience is how long a client may take for its line.
	patience = 5 * time.Second
	// lingering bounds what is read from a refused client, so that the answer
	// is not lost in the reset that closing over unread bytes causes.
	lingering = time.Second
	leftover  = 64 << 10
)

// Verifier admits connections to a sandbox. It is safe for concurrent use.
type Verifier struct {
	keys     func() (Key, error)
	now      func() time.Time
	patience time.Duration
	started  time.Time
	seen     *replays
}

// NewVerifier asks keys at every connection, because the key can be replaced.
func NewVerifier(keys func() (Key, error), now func() time.Time) *Verifier {
	return &Verifier{keys: keys, now: now, patience: patience, started: now(), seen: newReplays()}
}

// Accept reads one preface and answers it. The connection it returns begins
// with the byte after the preface. With an error conn is closed; the error is
// for the log, the client learns nothing but ErrRefused.
func (v *Verifier) Accept(conn net.Conn) (net.Conn, error) {
	rest, err := v.admit(conn)
	if err == nil {
		if _, err = io.WriteString(conn, accepted); err == nil {
			err = conn.SetDeadline(time.Time{})
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		return &replayed{Conn: conn, rest: rest}, nil
	}
	dismiss(conn)
	return nil, fmt.Errorf("%w: %w", ErrRefused, err)
}

func (v *Verifier) admit(conn net.Conn) (rest []byte, err error) {
	if err := conn.SetDeadline(time.Now().Add(v.patience)); err != nil {
		return nil, err
	}
	line, rest, err := readLine(conn)
	if err != nil {
		return nil, err
	}
	p, err := parse(line)
	if err != nil {
		return nil, err
	}
	key, err := v.keys()
	if err != nil {
		return nil, err
	}
	now := v.now()
	if err := p.verify(key, now); err != nil {
		return nil, err
	}
	if p.at < v.since(now) {
		return nil, errEarlier
	}
	return rest, v.seen.add(p, now)
}

// since is the second of the verifier's start. What was written before that, a
// former verifier may have accepted, whose memory is gone. The start is told by
// the present clock, which may have been set meanwhile.
func (v *Verifier) since(now time.Time) int64 { return now.Add(v.started.Sub(now)).Unix() }

func readLine(r io.Reader) (line string, rest []byte, err error) {
	buf := make([]byte, 0, maxLine)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		end := bytes.IndexByte(buf[len(buf):len(buf)+n], '\n')
		if end >= 0 {
			end += len(buf)
			return string(buf[:end]), buf[end+1 : len(buf)+n], nil
		}
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) == cap(buf):
			return "", nil, errors.New("line too long")
		case err != nil:
			return "", nil, err
		}
	}
}

func dismiss(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(lingering)); err != nil {
		return
	}
	if _, err := io.WriteString(conn, refused); err != nil {
		return
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	io.CopyN(io.Discard, conn, leftover) //nolint:errcheck // the client is on its way out
}

// replayed gives out first what was read together with the preface.
type replayed struct {
	net.Conn
	rest []byte
}

func (c *replayed) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// CloseWrite passes a half-close on, which embedding net.Conn would hide.
func (c *replayed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
