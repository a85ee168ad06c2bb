// Package session keeps the tokens with which clients open tunnels to
// sandboxes. Of a token only its hash is stored, as a Secret beside the
// sandboxes, so that tokens outlive the server.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

const (
	tokenBytes = 32
	nameDigits = 32
)

// newToken draws 32 bytes, in base64 for addresses and headers.
func newToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// wellFormed tells what newToken may have made from everything else.
func wellFormed(token string) bool {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return err == nil && len(b) == tokenBytes
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Name of a token's Secret. It does not tell the token.
func Name(token string) string { return "ssh-session-" + hash(token)[:nameDigits] }
