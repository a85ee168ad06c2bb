package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

const (
	blockCert   = "CERTIFICATE"
	blockPKCS8  = "PRIVATE KEY"
	blockSEC1   = "EC PRIVATE KEY"
	blockPublic = "PUBLIC KEY"
)

// NewKey is a new ECDSA P-256 private key, PKCS#8 in PEM.
func NewKey() ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return encodeKey(key)
}

// PublicKey is the public half of a private key in PEM, as PKIX in PEM. It is
// what verifies service-account tokens.
func PublicKey(keyPEM []byte) ([]byte, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockPublic, Bytes: der}), nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockPKCS8, Bytes: der}), nil
}

// parseKey reads the first private key of a PEM text, past parameter blocks as
// openssl writes them. Its errors never quote the input.
func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	for rest := data; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, errors.New("no private key in PEM form")
		}
		switch block.Type {
		case blockSEC1:
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("not a SEC 1 private key")
			}
			return key, nil
		case blockPKCS8:
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("not a PKCS#8 private key")
			}
			key, ok := parsed.(*ecdsa.PrivateKey)
			if !ok {
				return nil, errors.New("not an ECDSA private key")
			}
			return key, nil
		}
	}
}

// parseCerts reads every certificate of a PEM text and needs at least one.
func parseCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != blockCert {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("not an X.509 certificate")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM form")
	}
	return certs, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: der})
}

func samePublicKey(a, b any) bool {
	x, err := x509.MarshalPKIXPublicKey(a)
	if err != nil {
		return false
	}
	y, err := x509.MarshalPKIXPublicKey(b)
	return err == nil && bytes.Equal(x, y)
}

// SameCertificates reports whether two PEM texts hold the same certificates in
// the same order, whatever stands around them. Texts without any are never the
// same.
func SameCertificates(a, b []byte) bool {
	x, err := parseCerts(a)
	if err != nil {
		return false
	}
	y, err := parseCerts(b)
	return err == nil && slices.EqualFunc(x, y, (*x509.Certificate).Equal)
}

// Signed reports whether the private key signed the certificate.
func Signed(keyPEM, certPEM []byte) bool {
	key, err := parseKey(keyPEM)
	if err != nil {
		return false
	}
	certs, err := parseCerts(certPEM)
	if err != nil {
		return false
	}
	signer := &x509.Certificate{PublicKeyAlgorithm: x509.ECDSA, PublicKey: &key.PublicKey}
	return signer.CheckSignature(certs[0].SignatureAlgorithm, certs[0].RawTBSCertificate, certs[0].Signature) == nil
}
