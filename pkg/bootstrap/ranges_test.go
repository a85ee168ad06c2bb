package bootstrap

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

func taken(prefixes ...string) []TakenRange {
	var out []TakenRange
	for _, p := range prefixes {
		out = append(out, TakenRange{netip.MustParsePrefix(p), p})
	}
	return out
}

func TestPitfall02RangesAvoidWhatIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		taken  []TakenRange
		subnet string
	}{
		"nothing taken":                      {nil, "10.208.32.0/24"},
		"another gateway's network":          {taken("10.208.32.0/24"), "10.208.33.0/24"},
		"a default route is not everything":  {taken("0.0.0.0/0"), "10.208.32.0/24"},
		"nor are the halves of a VPN":        {taken("0.0.0.0/1", "128.0.0.0/1"), "10.208.32.0/24"},
		"a company takes 10.0.0.0/8":         {taken("10.0.0.0/8"), "172.24.32.0/24"},
		"and Docker takes its usual":         {taken("10.0.0.0/8", "172.16.0.0/12"), "192.168.160.0/24"},
		"and home takes the rest":            {taken("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), "100.64.32.0/24"},
		"a prefix that is written with host": {[]TakenRange{{netip.MustParsePrefix("10.208.0.1/12"), "eth0"}}, "10.128.32.0/24"},
		"IPv6 is another world":              {taken("fd00::/8"), "10.208.32.0/24"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := pickNetwork(c.taken)
			if err != nil || n.Subnet.String() != c.subnet {
				t.Errorf("%+v, %v; want subnet %s", n, err, c.subnet)
			}
		})
	}
	if _, err := pickNetwork(taken("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")); !fault.HasID(err, fault.NoSubnet) {
		t.Errorf("everything taken: %v", err)
	}
}

func TestRangesNeverMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var used []TakenRange
		for range rapid.IntRange(0, 12).Draw(t, "count") {
			a := rapid.ByteRange(0, 255)
			addr := netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{10, 100, 172, 192}).Draw(t, "a"), a.Draw(t, "b"), a.Draw(t, "c"), a.Draw(t, "d")})
			used = append(used, TakenRange{netip.PrefixFrom(addr, rapid.IntRange(8, 32).Draw(t, "bits")), "x"})
		}
		n, err := pickNetwork(used)
		if err != nil {
			return
		}
		other, err := pickSubnet(n, append(used, TakenRange{n.Subnet, "self"}))
		if err != nil {
			return
		}
		checkApart(t, n, used)
		n.Subnet = other
		checkApart(t, n, used)
	})
}

func checkApart(t *rapid.T, n gateway.Network, used []TakenRange) {
	ours := []netip.Prefix{n.Subnet, n.PodCIDR, n.ServiceCIDR}
	for i, p := range ours {
		if p.Overlaps(netip.MustParsePrefix("172.16.0.0/16")) {
			t.Fatalf("%s meets the VPN", p)
		}
		if by, met := takenBy(p, used); met {
			t.Fatalf("%s meets %s", p, by)
		}
		for _, q := range ours[i+1:] {
			if p.Overlaps(q) {
				t.Fatalf("%s meets %s", p, q)
			}
		}
	}
}
