package usercontainer

import (
	_ "embed" // the rules
	"net/netip"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	rulesFile = "/rules.nft" // in the sidecar
	rulesMode = 0o600
)

//go:embed rules.nft
var ruleText string

// firewall is what nft(8) applies in the sidecar before it joins.
func firewall(neighbours []netip.Prefix) []byte {
	var refused strings.Builder
	for _, p := range neighbours {
		family := "ip"
		if p.Addr().Is6() {
			family = "ip6"
		}
		refused.WriteString("\t\t" + family + " daddr " + p.Masked().String() + " goto refuse\n")
	}
	return []byte(strings.NewReplacer("{{VPN}}", strconv.Itoa(nodeapi.VPNPort), "{{Neighbours}}", refused.String()).Replace(ruleText))
}
