package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ProblemID names a kind of problem.
type ProblemID string

// The kinds.
const (
	CertMissing    ProblemID = "cert-missing"
	CertUnreadable ProblemID = "cert-unreadable"
	KeyMissing     ProblemID = "key-missing"
	KeyUnreadable  ProblemID = "key-unreadable"
	KeyMismatch    ProblemID = "key-mismatch"
	NotCA          ProblemID = "not-ca"        // of an authority: may not issue, or not self-signed
	Chain          ProblemID = "chain"         // of a leaf: not issued by the authority at hand
	WrongUsage     ProblemID = "wrong-usage"   // lacks server or client authentication
	SANMissing     ProblemID = "san-missing"   // lacks a wanted name or address
	Expired        ProblemID = "expired"       // NotAfter is past
	Expiring       ProblemID = "expiring"      // less than RenewBefore left
	NotYetValid    ProblemID = "not-yet-valid" // NotBefore is to come
)

// Problem is one reason why a certificate is not valid. Its message never
// quotes key material.
type Problem struct {
	ID      ProblemID
	Message string // a phrase without a full stop
}

// Want is what a leaf has to satisfy.
type Want struct {
	Roots []byte // PEM; the leaf has to be issued by one of these authorities
	Usage Usage
	SANs  []string
}

// Validate judges a leaf and its key. A leaf is valid when there is no
// problem. Problems come in a fixed order; a validity problem does not hide a
// chain problem, so that an expired leaf still tells whose it is. Whether the
// authority itself is in date is for ValidateRoots to say.
func Validate(pair KeyPair, want Want, now time.Time) []Problem {
	leaf, problems := judgePair(pair)
	if leaf == nil {
		return problems
	}
	if !issuedByAny(leaf, want.Roots) {
		problems = append(problems, Problem{Chain, "certificate was not issued by the CA at hand"})
	}
	for _, usage := range want.Usage.extKeyUsages() {
		if !slices.Contains(leaf.ExtKeyUsage, usage) {
			problems = append(problems, Problem{WrongUsage, "certificate lacks the usage " + usageName(usage)})
		}
	}
	if missing := missingSANs(leaf, want.SANs); len(missing) > 0 {
		problems = append(problems, Problem{SANMissing, "certificate lacks " + strings.Join(missing, ", ")})
	}
	return append(problems, judgeTime(leaf, now)...)
}

// ValidateCA judges an authority and its key.
func ValidateCA(pair KeyPair, now time.Time) []Problem {
	cert, problems := judgePair(pair)
	if cert == nil {
		return problems
	}
	return append(problems, judgeRoot(cert, now)...)
}

// ValidateRoots judges the authorities of a ca.crt, which has no key.
func ValidateRoots(roots []byte, now time.Time) []Problem {
	certs, problem := readCerts(roots)
	if problem != nil {
		return []Problem{*problem}
	}
	var problems []Problem
	for _, cert := range certs {
		problems = append(problems, judgeRoot(cert, now)...)
	}
	return problems
}

// Describe is the certificate's names and end of validity, for status output.
// SANs are sorted, DNS names first.
func Describe(certPEM []byte) (sans []string, notAfter time.Time, err error) {
	certs, err := parseCerts(certPEM)
	if err != nil {
		return nil, time.Time{}, err
	}
	dns := slices.Clone(certs[0].DNSNames)
	slices.Sort(dns)
	var ips []string
	for _, ip := range certs[0].IPAddresses {
		ips = append(ips, ip.String())
	}
	slices.Sort(ips)
	return append(dns, ips...), certs[0].NotAfter, nil
}

// judgePair parses both halves; the certificate is nil when it does not parse.
func judgePair(pair KeyPair) (*x509.Certificate, []Problem) {
	var problems []Problem
	certs, problem := readCerts(pair.Cert)
	if problem != nil {
		problems = append(problems, *problem)
	}
	if len(pair.Key) == 0 {
		problems = append(problems, Problem{KeyMissing, "private key is missing"})
	} else if key, err := parseKey(pair.Key); err != nil {
		problems = append(problems, Problem{KeyUnreadable, "private key: " + err.Error()})
	} else if certs != nil && !samePublicKey(certs[0].PublicKey, &key.PublicKey) {
		problems = append(problems, Problem{KeyMismatch, "private key does not belong to the certificate"})
	}
	if certs == nil {
		return nil, problems
	}
	return certs[0], problems
}

func readCerts(data []byte) ([]*x509.Certificate, *Problem) {
	if len(data) == 0 {
		return nil, &Problem{CertMissing, "certificate is missing"}
	}
	certs, err := parseCerts(data)
	if err != nil {
		return nil, &Problem{CertUnreadable, "certificate: " + err.Error()}
	}
	return certs, nil
}

func judgeRoot(cert *x509.Certificate, now time.Time) []Problem {
	var problems []Problem
	if !cert.IsCA || cert.CheckSignatureFrom(cert) != nil {
		problems = append(problems, Problem{NotCA, "certificate is not a self-signed CA"})
	}
	return append(problems, judgeTime(cert, now)...)
}

func judgeTime(cert *x509.Certificate, now time.Time) []Problem {
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case now.After(cert.NotAfter):
		return []Problem{{Expired, "certificate expired on " + day(cert.NotAfter)}}
	case now.Before(cert.NotBefore):
		return []Problem{{NotYetValid, "certificate is not valid before " + day(cert.NotBefore)}}
	case cert.NotAfter.Sub(now) <= RenewBefore:
		return []Problem{{Expiring, fmt.Sprintf("certificate expires in %d days", int(cert.NotAfter.Sub(now)/(24*time.Hour)))}}
	}
	return nil
}

// issuedByAny asks each root by itself whether the leaf is its own, at a time
// at which both are in date: only the signature, the names and the constraints
// count. Where there is no such time the signature and the names have to do.
func issuedByAny(leaf *x509.Certificate, roots []byte) bool {
	certs, err := parseCerts(roots)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(certs, func(root *x509.Certificate) bool {
		at := leaf.NotBefore
		if root.NotBefore.After(at) {
			at = root.NotBefore
		}
		if at.After(leaf.NotAfter) || at.After(root.NotAfter) {
			return bytes.Equal(leaf.RawIssuer, root.RawSubject) && leaf.CheckSignatureFrom(root) == nil
		}
		pool := x509.NewCertPool()
		pool.AddCert(root)
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots:       pool,
			CurrentTime: at,
			KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		return err == nil
	})
}

func missingSANs(leaf *x509.Certificate, wanted []string) []string {
	has := make(map[string]bool)
	for _, name := range leaf.DNSNames {
		has[canonicalSAN(name)] = true
	}
	for _, ip := range leaf.IPAddresses {
		has[canonicalSAN(ip.String())] = true
	}
	var missing []string
	for _, san := range wanted {
		if !has[canonicalSAN(san)] {
			missing = append(missing, san)
		}
	}
	return missing
}

func usageName(u x509.ExtKeyUsage) string {
	if u == x509.ExtKeyUsageServerAuth {
		return "server authentication"
	}
	return "client authentication"
}
