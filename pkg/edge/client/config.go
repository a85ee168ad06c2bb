package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/containers"
)

// Keys are the certificates and keys of an epoch that clients have, in PEM.
type Keys struct {
	CA, Certificate, Key string
	TA                   string // hides the handshake from who has no package
}

// NewPackage makes the package of a container.
func NewPackage(c containers.Container, token string, keys Keys, remotes []Remote) (Package, error) {
	p := Renewal(c, token, keys)
	p.Remotes, p.Config = remotes, config(keys, remotes)
	return p, p.check()
}

// Renewal is the package of a container that knows where the VPN is: the gateway
// does not know by which name or port it is reached from there.
func Renewal(c containers.Container, token string, keys Keys) Package {
	services := c.Services
	if services == nil {
		services = []containers.Service{}
	}
	return Package{Version: packageVersion, ID: c.ID, Name: c.Name, Token: token, Address: c.Address,
		Gateway: "http://" + edge.VPNGateway, Services: services, Config: config(keys, nil)}
}

// The configuration of a client. It takes an address from the gateway, and no
// route, name server or anything else: the container's network stays as it is.
// A client that is refused ends, and the agent decides when to try again.
const settings = `client
dev tun
proto udp
nobind
resolv-retry 5
server-poll-timeout 3
connect-retry 1 5
connect-retry-max 6
auth-retry none
auth-nocache
remote-cert-tls server
tls-version-min 1.2
data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305
auth SHA256
persist-key
persist-tun
route-nopull
explicit-exit-notify 1
verb 1
`

// What a configuration may have: nothing that starts a program, loads a
// library, or writes a file.
var (
	directives = []string{
		"client", "dev", "proto", "nobind", "resolv-retry", "server-poll-timeout", "connect-retry", "connect-retry-max",
		"auth-retry", "auth-nocache", "remote-cert-tls", "tls-version-min", "data-ciphers", "auth", "persist-key",
		"persist-tun", "route-nopull", "explicit-exit-notify", "verb", "remote",
	}
	blocks = []string{"ca", "cert", "key", "tls-crypt"}
)

func config(keys Keys, remotes []Remote) string {
	var b strings.Builder
	b.WriteString(settings)
	for _, r := range remotes {
		fmt.Fprintf(&b, "remote %s %d\n", r.Host, r.Port)
	}
	for i, content := range []string{keys.CA, keys.Certificate, keys.Key, keys.TA} {
		fmt.Fprintf(&b, "<%[1]s>\n%[2]s\n</%[1]s>\n", blocks[i], strings.TrimSpace(content))
	}
	return b.String()
}

// checkConfig refuses what config would not write.
func checkConfig(text string) error {
	seen := map[string]bool{}
	block := ""
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r")
		switch {
		case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return fmt.Errorf("line %d of the configuration has a control character", number+1)
		case len(line) > 250:
			return fmt.Errorf("line %d of the configuration is too long", number+1) // OpenVPN's own limit is 256
		case block != "":
			if line == "</"+block+">" {
				block = ""
			} else if strings.HasPrefix(strings.TrimSpace(line), "<") {
				return fmt.Errorf("line %d of the configuration begins a block inside another", number+1)
			}
		case line == "":
		case strings.HasPrefix(line, "<"):
			block = strings.TrimSuffix(line[1:], ">")
			if !slices.Contains(blocks, block) || line != "<"+block+">" || seen[block] {
				return fmt.Errorf("line %d of the configuration begins no block that is accepted here: %.40q", number+1, line)
			}
			seen[block] = true
		default:
			if name, _, _ := strings.Cut(line, " "); !slices.Contains(directives, name) {
				return fmt.Errorf("line %d of the configuration is not accepted: %.40q", number+1, name)
			}
		}
	}
	if block != "" || len(seen) != len(blocks) {
		return errors.New("the configuration has not all of its keys and certificates")
	}
	return nil
}
