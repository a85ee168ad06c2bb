package sandbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// newSecret is that of a new sandbox, without its handshake key.
func newSecret(namespace, id string, environment map[string]string) (*corev1.Secret, error) {
	if environment == nil {
		environment = map[string]string{}
	}
	environ, err := json.Marshal(environment)
	if err != nil {
		return nil, err
	}
	hostKey, err := newHostKey()
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: id, Namespace: namespace, Labels: labels(id)},
		Data: map[string][]byte{
			sandboxapi.SecretHostKey: hostKey,
			sandboxapi.SecretEnviron: environ,
		},
	}, nil
}

func newHostKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// publicHostKey returns the public half in the form "ssh-ed25519 AAAA...". Its
// error shows nothing of the key.
func publicHostKey(private []byte) (string, error) {
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return "", fmt.Errorf("%d bytes are no private key in OpenSSH's form", len(private))
	}
	if kind := signer.PublicKey().Type(); kind != ssh.KeyAlgoED25519 {
		return "", fmt.Errorf("it is of type %s, not %s", kind, ssh.KeyAlgoED25519)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}

// repaired is what a sandbox's Secret should hold.
type repaired struct {
	data    map[string][]byte // nil: it is as it should be
	hostKey string            // public
	rekeyed bool              // a handshake key that somebody may hold was replaced
}

// repair decides on the keys of a Secret: those that are valid stay. A host key
// is only made for a sandbox that never had one: known is its public half.
func repair(data map[string][]byte, known string, master handshake.Key, id string) (repaired, error) {
	fixed := maps.Clone(data)
	if fixed == nil {
		fixed = map[string][]byte{}
	}
	var r repaired
	if len(fixed[sandboxapi.SecretHostKey]) == 0 {
		if known != "" {
			return repaired{}, lost(reasonHostKey, "the SSH host key is missing in the sandbox's Secret")
		}
		made, err := newHostKey()
		if err != nil {
			return repaired{}, err
		}
		fixed[sandboxapi.SecretHostKey] = made
	}
	public, err := publicHostKey(fixed[sandboxapi.SecretHostKey])
	if err != nil {
		return repaired{}, lost(reasonHostKey, "the SSH host key in the sandbox's Secret cannot be read: "+err.Error())
	}
	if known != "" && known != public {
		return repaired{}, lost(reasonHostKey, "the SSH host key in the sandbox's Secret is not the one that its clients know")
	}
	r.hostKey = public
	if _, ok := fixed[sandboxapi.SecretEnviron]; !ok {
		fixed[sandboxapi.SecretEnviron] = []byte("{}")
	}
	key := string(handshake.Derive(master, id))
	if old := string(fixed[sandboxapi.SecretHandshake]); old != key {
		r.rekeyed = old != ""
		fixed[sandboxapi.SecretHandshake] = []byte(key)
	}
	if !maps.EqualFunc(fixed, data, func(a, b []byte) bool { return string(a) == string(b) }) {
		r.data = fixed
	}
	return r, nil
}
