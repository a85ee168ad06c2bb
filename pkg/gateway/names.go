// Package gateway holds what a gateway is called and the settings it was made
// with. It knows neither Docker nor Kubernetes.
package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"openshell.ai/openshell/pkg/fault"
)

// DefaultName is the gateway used when nobody names one.
const DefaultName = "openshell"

// Labels on every Docker resource of a gateway. They say whose it is; they are
// never a source of settings.
const (
	LabelManagedBy  = "openshell.ai/managed-by" // value ManagedBy
	LabelGateway    = "openshell.ai/gateway"    // the gateway's name
	LabelCLIVersion = "openshell.ai/cli-version"
	ManagedBy       = "openshell"
)

const (
	resourcePrefix = "openshell-cluster-"
	maxName        = 60
	maxHostname    = 63
)

var validName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// Name is the validated name of a gateway.
type Name string

// ParseName accepts 1 to 60 letters, digits, dots, dashes and underscores,
// with a letter or digit at both ends.
func ParseName(s string) (Name, error) {
	if len(s) == 0 || len(s) > maxName || !validName.MatchString(s) {
		return "", fault.New(fault.BadName, fault.ExitUsage,
			"gateway name %q is not valid: use 1 to %d letters, digits, dots, dashes or underscores, starting and ending with a letter or digit", s, maxName)
	}
	return Name(s), nil
}

// Resource is the name of the gateway's container, volume and network.
func (n Name) Resource() string { return resourcePrefix + string(n) }

// Hostname is the container's hostname and so the Kubernetes node's name. It
// depends on the gateway's name alone, is an RFC 1123 label of at most 63
// characters, and carries a short hash when normalising changed the name, so
// that two names never share one.
func (n Name) Hostname() string {
	raw := resourcePrefix + string(n)
	host := strings.NewReplacer(".", "-", "_", "-").Replace(strings.ToLower(raw))
	if host == raw && len(host) <= maxHostname {
		return host
	}
	sum := sha256.Sum256([]byte(n))
	suffix := "-" + hex.EncodeToString(sum[:])[:8]
	if len(host)+len(suffix) > maxHostname {
		host = strings.TrimRight(host[:maxHostname-len(suffix)], "-")
	}
	return host + suffix
}

// Labels are the labels for a resource of this gateway.
func (n Name) Labels(cliVersion string) map[string]string {
	return map[string]string{
		LabelManagedBy:  ManagedBy,
		LabelGateway:    string(n),
		LabelCLIVersion: cliVersion,
	}
}

// Owns reports whether labels mark a resource as this gateway's.
func (n Name) Owns(labels map[string]string) bool {
	return labels[LabelManagedBy] == ManagedBy && labels[LabelGateway] == string(n)
}
