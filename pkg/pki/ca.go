package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// CA is a certificate authority that can issue.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair KeyPair
}

// NewCA makes an authority with a key of its own, valid for CALifetime.
func NewCA(subject Subject, now time.Time) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return selfSign(key, subject, now)
}

// RenewCA makes a new certificate for an authority whose key is at hand. With
// the same subject, every leaf the key has signed verifies against it too.
func RenewCA(keyPEM []byte, subject Subject, now time.Time) (*CA, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	return selfSign(key, subject, now)
}

// ParseCA reads an authority. It does not judge its validity: see ValidateCA.
func ParseCA(pair KeyPair) (*CA, error) {
	certs, err := parseCerts(pair.Cert)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	key, err := parseKey(pair.Key)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	if !samePublicKey(certs[0].PublicKey, &key.PublicKey) {
		return nil, errors.New("CA key: does not belong to the CA certificate")
	}
	if !certs[0].IsCA {
		return nil, errors.New("CA certificate: not an authority")
	}
	return &CA{cert: certs[0], key: key, pair: pair}, nil
}

// CertPEM is the authority's certificate: what others call ca.crt.
func (ca *CA) CertPEM() []byte { return ca.pair.Cert }

// Pair is the authority's certificate and private key.
func (ca *CA) Pair() KeyPair { return ca.pair }

// Issue makes a leaf with a key of its own. A leaf may outlive the authority's
// present certificate: RenewCA keeps it verifying.
func (ca *CA) Issue(spec LeafSpec, now time.Time) (KeyPair, error) {
	dns, ips, err := splitSANs(spec.SANs)
	if err != nil {
		return KeyPair{}, err
	}
	lifetime := spec.Lifetime
	if lifetime == 0 {
		lifetime = LeafLifetime
	}
	key, err := newKey()
	if err != nil {
		return KeyPair{}, err
	}
	template := &x509.Certificate{
		Subject:               Subject{spec.CommonName, spec.Organization}.name(),
		DNSNames:              dns,
		IPAddresses:           ips,
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           spec.Usage.extKeyUsages(),
		BasicConstraintsValid: true,
	}
	return sign(template, ca.cert, key, ca.key)
}

func selfSign(key *ecdsa.PrivateKey, subject Subject, now time.Time) (*CA, error) {
	template := &x509.Certificate{
		Subject:               subject.name(),
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	pair, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return ParseCA(pair)
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (KeyPair, error) {
	var err error
	if template.SerialNumber, err = newSerial(); err != nil {
		return KeyPair{}, err
	}
	if template.SubjectKeyId, err = keyID(&key.PublicKey); err != nil {
		return KeyPair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return KeyPair{}, fmt.Errorf("certificate for %q: %w", template.Subject.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: encodeCert(der), Key: keyPEM}, nil
}

// newSerial is a positive random number of at most 127 bits: RFC 5280 allows
// twenty octets and wants uniqueness per authority.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("certificate serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

// keyID is RFC 7093 method 4 over the public key, set by hand so that it never
// depends on the version of the standard library: OpenSSL refuses an authority
// whose id differs from the one its leaves name.
func keyID(pub *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

func (s Subject) name() pkix.Name {
	return pkix.Name{CommonName: s.CommonName, Organization: s.Organization}
}
