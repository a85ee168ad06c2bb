// Package pki makes and judges X.509 certificates: certificate authorities and
// the leaves they issue, ECDSA P-256 throughout, PEM in and out. It reads no
// clock and no file; every function takes the time it is to judge by.
package pki

import (
	"crypto/x509"
	"time"
)

// Lifetimes and margins of everything issued here.
const (
	CALifetime   = 10 * 365 * 24 * time.Hour
	LeafLifetime = 2 * 365 * 24 * time.Hour
	// Backdate is how far NotBefore lies in the past, because the clock of a
	// virtual machine may be behind that of its host after a sleep.
	Backdate = 24 * time.Hour
	// RenewBefore is how much validity has to be left for a certificate to
	// count as valid.
	RenewBefore = 60 * 24 * time.Hour
)

// KeyPair is a certificate and its private key, both PEM: one or more
// CERTIFICATE blocks, the leaf first, and a PKCS#8 or SEC 1 key.
type KeyPair struct {
	Cert []byte
	Key  []byte
}

// String keeps the private key out of formatted output.
func (KeyPair) String() string { return "key pair (redacted)" }

// GoString keeps the private key out of %#v.
func (p KeyPair) GoString() string { return p.String() }

// Subject names who a certificate is about.
type Subject struct {
	CommonName   string
	Organization []string // Kubernetes reads these as groups
}

// Usage is what a leaf may be used for, a set.
type Usage uint8

// The usages.
const (
	Server Usage = 1 << iota
	Client
	Both = Server | Client
)

func (u Usage) extKeyUsages() []x509.ExtKeyUsage {
	var out []x509.ExtKeyUsage
	if u&Server != 0 {
		out = append(out, x509.ExtKeyUsageServerAuth)
	}
	if u&Client != 0 {
		out = append(out, x509.ExtKeyUsageClientAuth)
	}
	return out
}

// LeafSpec is a leaf certificate to issue.
type LeafSpec struct {
	CommonName   string
	Organization []string
	SANs         []string // DNS names and IP addresses
	Usage        Usage
	Lifetime     time.Duration // from now; 0: LeafLifetime
}
