package release

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files that WriteKeys makes.
const (
	PrivateKeyFile = "build.key"
	PublicKeyFile  = "build.pub"
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// WriteKeys makes a key that signs builds, and its public part, in dir. One that
// is there already stays.
func WriteKeys(dir string) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("make a build key: %w", err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("make a build key: %w", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("make a build key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := createPEM(filepath.Join(dir, PrivateKeyFile), 0o600, privateBlock, privateDER); err != nil {
		return err
	}
	return createPEM(filepath.Join(dir, PublicKeyFile), 0o644, publicBlock, publicDER)
}

func createPEM(path string, mode os.FileMode, block string, der []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and is kept", path)
	}
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(file, &pem.Block{Type: block, Bytes: der}), file.Close())
}

// ReadPrivateKey reads build.key, which nobody but its owner may be able to read.
func ReadPrivateKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("private key %s: others may read it: its mode is %o, and must be 600", path, info.Mode().Perm())
	}
	der, err := readPEM(path, privateBlock)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("private key %s is not an ed25519 key", path)
	}
	return private, nil
}

// ReadPublicKey reads build.pub.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	key, err := ParsePublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", path, err)
	}
	return key, nil
}

// ParsePublicKey is ReadPublicKey of the file's content.
func ParsePublicKey(data []byte) (ed25519.PublicKey, error) {
	der, err := decodePEM(data, publicBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("it is not an ed25519 key")
	}
	return public, nil
}

func readPEM(path, block string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	der, err := decodePEM(data, block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return der, nil
}

func decodePEM(data []byte, block string) ([]byte, error) {
	found, _ := pem.Decode(data)
	if found == nil || found.Type != block {
		return nil, fmt.Errorf("it is no PEM file with a block %q", block)
	}
	return found.Bytes, nil
}

// sign is the content of manifest.json.sig.
func sign(key ed25519.PrivateKey, manifest []byte) []byte {
	return []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(key, manifest)) + "\n")
}

var errSignature = errors.New("the manifest's signature is not by the gateway's build key")

// verify checks a manifest before anything in it is looked at.
func verify(key ed25519.PublicKey, manifest, signature []byte) error {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(signature)))
	if err != nil || !ed25519.Verify(key, manifest, raw) {
		return errSignature
	}
	return nil
}
