package pki

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// Go's own verifier accepts underscores, and Docker's service names have them.
var dnsName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// allDigits catches mistyped IP addresses: no top-level domain is numeric.
var allDigits = regexp.MustCompile(`(^|\.)[0-9]+$`)

// DefaultServerSANs are the names every gateway's server certificate carries,
// followed by extra ones (DNS names or IP addresses), without repetition.
func DefaultServerSANs(extra []string) []string {
	all := append([]string{
		"openshell",
		"openshell.openshell.svc",
		"openshell.openshell.svc.cluster.local",
		"localhost",
		"host.docker.internal",
		"127.0.0.1",
		"::1",
	}, extra...)
	seen := make(map[string]bool, len(all))
	var out []string
	for _, san := range all {
		if key := canonicalSAN(san); !seen[key] {
			seen[key] = true
			out = append(out, san)
		}
	}
	return out
}

// CheckSAN accepts a DNS name or an IP address without a zone.
func CheckSAN(san string) error {
	if addr, err := netip.ParseAddr(san); err == nil && addr.Zone() == "" {
		return nil
	}
	if len(san) > 253 || !dnsName.MatchString(san) || allDigits.MatchString(san) {
		return fmt.Errorf("%q is neither a DNS name nor an IP address", san)
	}
	return nil
}

// canonicalSAN is the form in which two SANs are the same: lower case, or the
// shortest form of an address.
func canonicalSAN(san string) string {
	if addr, err := netip.ParseAddr(san); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(san)
}

func splitSANs(sans []string) (dns []string, ips []net.IP, err error) {
	for _, san := range sans {
		if err := CheckSAN(san); err != nil {
			return nil, nil, fmt.Errorf("certificate SAN: %w", err)
		}
		if addr, err := netip.ParseAddr(san); err == nil {
			ips = append(ips, net.IP(addr.Unmap().AsSlice()))
		} else {
			dns = append(dns, strings.ToLower(san))
		}
	}
	return dns, ips, nil
}
