package server

import (
	"fmt"
	"os"

	"openshell.ai/openshell/pkg/handshake"
)

// HandshakeEnv is the environment variable that carries the handshake secret
// into the server's container, from the Secret's key by secretKeyRef.
const HandshakeEnv = "OPENSHELL_SSH_HANDSHAKE_SECRET"

// TakeHandshakeSecret reads the master key from the environment and removes it
// there, so that no child process inherits it. Its errors never show the value.
func TakeHandshakeSecret() (handshake.Key, error) {
	value, ok := os.LookupEnv(HandshakeEnv)
	if !ok || value == "" {
		return "", fmt.Errorf("handshake secret: environment variable %s is not set", HandshakeEnv)
	}
	if err := os.Unsetenv(HandshakeEnv); err != nil {
		return "", fmt.Errorf("environment variable %s: %w", HandshakeEnv, err)
	}
	return handshake.ParseKey(value)
}
