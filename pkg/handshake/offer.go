package handshake

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// ErrRefused says that a sandbox did not accept a preface; it never says why.
var ErrRefused = errors.New("handshake refused")

// Write sends a preface with a nonce of its own in one piece. The token is
// visible ASCII without "|".
func Write(w io.Writer, key Key, token string, now time.Time) error {
	if !validField(token) {
		return errors.New("handshake token has a character it cannot have")
	}
	nonce := make([]byte, 16)
	rand.Read(nonce) // never fails
	p := preface{token: token, stamp: strconv.FormatInt(now.Unix(), 10), nonce: hex.EncodeToString(nonce)}
	line := fmt.Sprintf("%s %s %s %s %s\n", magic, p.token, p.stamp, p.nonce, hex.EncodeToString(key.mac(p.message())))
	if len(line) > maxLine {
		return errors.New("handshake token is too long")
	}
	_, err := io.WriteString(w, line)
	return err
}

// Offer sends a preface and reads the answer, and not a byte more: what follows
// on conn is SSH. The error is ErrRefused, or one of the connection. The caller
// closes conn.
func Offer(conn net.Conn, key Key, token string, deadline time.Time) error {
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := Write(conn, key, token, time.Now()); err != nil {
		return err
	}
	answer := make([]byte, len(accepted))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("handshake answer: %w", err)
	}
	if string(answer) != accepted {
		return ErrRefused
	}
	return conn.SetDeadline(time.Time{})
}
