package lifecycle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"openshell.ai/openshell/pkg/edge/project"
)

// ErrUnauthorized refuses a start that is not the control plane's.
var ErrUnauthorized = errors.New("the start token is not valid for this allocation")

const minKey = 32

// Key signs starts; the control plane has it too.
type Key []byte

// CheckKey reports why a key is no good.
func (k Key) CheckKey() error {
	if len(k) < minKey {
		return fmt.Errorf("start key has %d bytes, want at least %d", len(k), minKey)
	}
	return nil
}

// Token allows one allocation: all of it is bound.
func (k Key) Token(p project.Config) string {
	mac := hmac.New(sha256.New, k)
	// %q keeps fields apart, whatever is in them.
	fmt.Fprintf(mac, "gateway start\n%q\n%d\n%q\n%d\n", p.GatewayID, p.Epoch, p.Organization, p.Version)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Verify checks a token.
func (k Key) Verify(token string, p project.Config) error {
	if err := k.CheckKey(); err != nil {
		return err
	}
	if !hmac.Equal([]byte(token), []byte(k.Token(p))) {
		return ErrUnauthorized
	}
	return nil
}
