// Package handshake is the NSSH1 preface: the one line by which the gateway
// server proves to a sandbox, before SSH begins, that it let a client in.
//
//	NSSH1 <token> <unix seconds> <nonce> <hex HMAC-SHA-256 of "<token>|<unix seconds>|<nonce>">\n
//
// The answer is "OK\n", or "ERR\n" and the end of the connection.
package handshake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// keyLength is the number of hexadecimal digits in a Key.
const keyLength = 2 * sha256.Size

const redacted = "[redacted]"

// Key is a secret of 64 hexadecimal digits: the gateway's master, or one
// derived from it for a sandbox. The digits themselves, not what they encode,
// are the key of every MAC. It prints as "[redacted]"; string(key) is the secret.
type Key string

// ParseKey accepts 64 hexadecimal digits, and a line's end after them. Its
// errors never show the value.
func ParseKey(s string) (Key, error) {
	s = strings.TrimRight(s, "\r\n")
	if len(s) != keyLength {
		return "", fmt.Errorf("handshake key of %d characters is not %d hexadecimal digits", len(s), keyLength)
	}
	if _, err := hex.DecodeString(s); err != nil {
		return "", fmt.Errorf("handshake key is not %d hexadecimal digits", keyLength)
	}
	return Key(s), nil
}

// Derive returns the key of one sandbox.
func Derive(master Key, sandboxID string) Key {
	return Key(hex.EncodeToString(master.mac(sandboxID)))
}

func (k Key) mac(message string) []byte {
	h := hmac.New(sha256.New, []byte(k))
	io.WriteString(h, message) //nolint:errcheck // a hash never fails
	return h.Sum(nil)
}

// Format keeps the key out of every verb.
func (Key) Format(s fmt.State, _ rune) { fmt.Fprint(s, redacted) }

// LogValue keeps the key out of logs.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText refuses: who stores a key converts it to a string on purpose.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("handshake key is not to be encoded")
}
