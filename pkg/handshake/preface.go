package handshake

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

const (
	magic = "NSSH1"
	// maxLine is the longest preface, with its newline.
	maxLine = 1024
	// skew is how far a timestamp may be from the verifier's clock, either way.
	skew = 300 * time.Second
)

var (
	errForm    = errors.New("not a preface")
	errClock   = errors.New("timestamp out of range")
	errEarlier = errors.New("timestamp from before the start")
	errMAC     = errors.New("wrong MAC")
)

// preface is a line that has the right form; nothing in it is proved.
type preface struct {
	token, stamp, nonce string
	at                  int64 // stamp in seconds
	mac                 []byte
}

// line has no newline.
func parse(line string) (preface, error) {
	fields := strings.Split(line, " ")
	if len(fields) != 5 || fields[0] != magic {
		return preface{}, errForm
	}
	p := preface{token: fields[1], stamp: fields[2], nonce: fields[3]}
	if !validField(p.token) || !validField(p.nonce) {
		return preface{}, errForm
	}
	at, err := strconv.ParseUint(p.stamp, 10, 63)
	if err != nil {
		return preface{}, errForm
	}
	p.at = int64(at)
	if p.mac, err = hex.DecodeString(fields[4]); err != nil {
		return preface{}, errForm
	}
	return p, nil
}

// validField is true of visible ASCII without "|", which separates the fields
// under the MAC: with it two prefaces could have one MAC.
func validField(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '|' {
			return false
		}
	}
	return s != ""
}

func (p preface) message() string { return p.token + "|" + p.stamp + "|" + p.nonce }

// verify is about the line alone, not about whether it came before.
func (p preface) verify(key Key, now time.Time) error {
	if age := now.Unix() - p.at; age > int64(skew/time.Second) || age < -int64(skew/time.Second) {
		return errClock
	}
	if !hmac.Equal(p.mac, key.mac(p.message())) {
		return errMAC
	}
	return nil
}
