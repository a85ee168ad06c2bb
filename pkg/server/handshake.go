package server

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
)

// HandshakeEnv is the environment variable that carries the handshake secret
// into the server's container, from the Secret's key by secretKeyRef.
const HandshakeEnv = "OPENSHELL_SSH_HANDSHAKE_SECRET"

var handshakeForm = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// HandshakeSecret is the master key from which the keys of the sandboxes'
// SSH handshakes derive. It prints as "[redacted]".
type HandshakeSecret struct{ hex string }

// ParseHandshakeSecret accepts 64 hexadecimal digits. Its errors
// never show the value.
func ParseHandshakeSecret(value string) (HandshakeSecret, error) {
	if !handshakeForm.MatchString(value) {
		return HandshakeSecret{}, fmt.Errorf("handshake secret of %d characters is not 64 hexadecimal digits", len(value))
	}
	return HandshakeSecret{value}, nil
}

// TakeHandshakeSecret reads the secret from the environment and removes it
// there, so that no child process inherits it.
func TakeHandshakeSecret() (HandshakeSecret, error) {
	value, ok := os.LookupEnv(HandshakeEnv)
	if !ok || value == "" {
		return HandshakeSecret{}, fmt.Errorf("handshake secret: environment variable %s is not set", HandshakeEnv)
	}
	if err := os.Unsetenv(HandshakeEnv); err != nil {
		return HandshakeSecret{}, fmt.Errorf("environment variable %s: %w", HandshakeEnv, err)
	}
	return ParseHandshakeSecret(value)
}

const redacted = "[redacted]"

func (HandshakeSecret) String() string       { return redacted }
func (HandshakeSecret) GoString() string     { return redacted }
func (HandshakeSecret) LogValue() slog.Value { return slog.StringValue(redacted) }
func (HandshakeSecret) MarshalText() ([]byte, error) {
	return []byte(redacted), nil
}
