// Package containers is the registry of user containers: who may join the VPN,
// with which token, at which address, and what they offer.
package containers

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// Bounds of a registry.
const (
	MaxContainers = 1000
	MaxServices   = 32 // of one container
)

var (
	// ErrNotFound says that no container has the id or name.
	ErrNotFound = errors.New("no such container")
	// ErrExists says that another container has the name.
	ErrExists = errors.New("a container of that name exists")
	// ErrFull says that the registry has MaxContainers.
	ErrFull = fmt.Errorf("there are %d containers already", MaxContainers)
	// ErrDamaged says that the registry's file is there and makes no sense.
	ErrDamaged = errors.New("the registry of containers is damaged")
	// ErrUnauthorized does not tell whether the id or the token is wrong.
	ErrUnauthorized = errors.New("unknown container or wrong token")
)

// Service is an HTTP service that a container offers under a name.
type Service struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// Container is a user container that may join the VPN.
type Container struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Kind      string     `json:"kind,omitempty"` // who registered it; empty: a person, or not known
	TokenHash string     `json:"tokenHash"`      // SHA-256 in hexadecimal: a token is as random as a key
	Address   netip.Addr `json:"address"`        // in the VPN, for as long as the container is registered
	Services  []Service  `json:"services,omitempty"`
	Created   time.Time  `json:"created"`
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	idForm   = regexp.MustCompile(`^[0-9a-f]{16}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// CheckName reports why a name cannot be a container's.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("container name %q is not 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", name)
	}
	if idForm.MatchString(name) {
		return fmt.Errorf("container name %q has the form of an id", name)
	}
	return nil
}

// CheckKind reports why a registration cannot be of a kind.
func CheckKind(kind string) error {
	if kind != "" && kind != edgeapi.KindContainer {
		return fmt.Errorf("kind %.40q is not %s", kind, edgeapi.KindContainer)
	}
	return nil
}

// CheckID reports why a text cannot be a container's id.
func CheckID(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("container id %.40q is not 16 hexadecimal digits", id)
	}
	return nil
}

// CheckServices reports why a container cannot offer these services.
func CheckServices(services []Service) error {
	if len(services) > MaxServices {
		return fmt.Errorf("%d services are more than %d", len(services), MaxServices)
	}
	seen := make(map[string]bool, len(services))
	for _, s := range services {
		if err := edge.CheckHost(s.Host); err != nil {
			return fmt.Errorf("service %w", err)
		}
		if s.Port == 0 {
			return fmt.Errorf("port of service %q is 0; accepted are 1 to 65535", s.Host)
		}
		if seen[s.Host] {
			return fmt.Errorf("service %q is there twice", s.Host)
		}
		seen[s.Host] = true
	}
	return nil
}

// authorizes compares in a time that does not depend on the token.
func (c Container) authorizes(token string) bool {
	return subtle.ConstantTimeCompare([]byte(c.TokenHash), []byte(hashOf(token))) == 1
}

func newID() string {
	id := make([]byte, 8)
	rand.Read(id)
	return hex.EncodeToString(id)
}

func newToken() string {
	token := make([]byte, 32)
	rand.Read(token)
	return base64.RawURLEncoding.EncodeToString(token)
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
